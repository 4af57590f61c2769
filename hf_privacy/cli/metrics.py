"""`hf-privacy metrics`."""

from __future__ import annotations

from typing import Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.errors import InputError


def run(options: Options) -> int:
    """List the `evaluate` modules, or push some of them to Spaces."""
    if options.flags["action"] == "list":
        _list(options)
    else:
        _push(options)
    return 0


def _list(options: Options) -> None:
    given = [word for word in ("all", "public", "dry_run", "namespace", "revision") if options.flags[word]]
    if options.flags["names"] or given:
        raise InputError(
            "`hf-privacy metrics list` takes no names and no flags: use `hf-privacy metrics push` to push"
        )
    from hf_privacy.metrics import metric_descriptions

    descriptions = metric_descriptions()
    width = max(map(len, descriptions))
    show(
        "\n".join(f"{name:<{width}}  {description}" for name, description in descriptions.items()),
        lambda: {"metrics": [{"name": name, "description": text} for name, text in descriptions.items()]},
    )


def _push(options: Options) -> None:
    from hf_privacy.metrics import metric_folder, metric_names

    names = list(options.flags["names"])
    if bool(names) == options.flags["all"]:
        raise InputError(f"pass the names of the metrics to push, or --all: {', '.join(metric_names())}")
    namespace = options.flags["namespace"]
    if not namespace:
        raise InputError("no namespace: pass --namespace with the user or organisation whose Spaces they become")
    folders = [metric_folder(name) for name in dict.fromkeys(names or metric_names())]
    private, revision = not options.flags["public"], options.flags["revision"]

    from hf_privacy.metrics.cards import space_files
    from hf_privacy.metrics.publish import push_metric

    if options.flags["dry_run"]:
        spaces = [
            {
                "repo_id": f"{namespace}/{folder.name}",
                "private": private,
                "revision": revision or "main",
                "files": [{"name": name, "bytes": len(content)} for name, content in space_files(folder).items()],
            }
            for folder in folders
        ]
        show(_dry_run_lines(spaces), lambda: {"pushed": False, "spaces": spaces})
        return
    from hf_privacy.hub import check_login

    token = check_login()
    done = []
    for folder in folders:
        pushed = push_metric(folder, namespace, token=token, private=private, revision=revision)
        print(f"pushed: {pushed.url}\n  {pushed.load_line}", flush=True)
        done.append({**pushed._asdict(), "load": pushed.load_line})
    if options.flags["json"]:
        show("", lambda: {"pushed": True, "spaces": done})


def _dry_run_lines(spaces: list[dict[str, Any]]) -> str:
    lines = []
    for space in spaces:
        kind = "private" if space["private"] else "public"
        lines.append(f"{kind} Space {space['repo_id']}, {space['revision']}:")
        lines += [f"  {file['name']:<30} {file['bytes']:>8,} bytes" for file in space["files"]]
    return "\n".join([*lines, "a dry run: nothing was sent"])
