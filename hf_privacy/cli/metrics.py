"""`hf-privacy metrics`."""

from __future__ import annotations

from hf_privacy.cli.arguments import Options
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
    for name, description in descriptions.items():
        print(f"{name:<{width}}  {description}")


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
        for folder in folders:
            print(f"{'private' if private else 'public'} Space {namespace}/{folder.name}, {revision or 'main'}:")
            for name, content in space_files(folder).items():
                print(f"  {name:<30} {len(content):>8,} bytes")
        print("a dry run: nothing was sent")
        return
    from hf_privacy.hub import check_login

    token = check_login()
    for folder in folders:
        pushed = push_metric(folder, namespace, token=token, private=private, revision=revision)
        print(f"pushed: {pushed.url}\n  {pushed.load_line}", flush=True)
