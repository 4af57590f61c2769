"""What a push will do, settled without the network: the gate, the card, the bytes, the search for leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from hf_privacy.errors import InputError
from hf_privacy.hub.contents import FolderContents, collect_contents
from hf_privacy.hub.gate import GateSettings, judge
from hf_privacy.hub.headline import headline
from hf_privacy.hub.published import CARD_NAME, is_weights, published_files
from hf_privacy.hub.secrets import find_secret
from hf_privacy.hub.unaudited import unaudited_card

# Given the folder, its valid report (None: unaudited) and the repository's id: card, page, plots and report by name.
Render = Callable[[Path, dict[str, Any] | None, str], Mapping[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class CommitOptions:
    """How a folder is published.

    Attributes
    ----------
    render
        Makes what speaks of the audit anew, from the report that the gate judged; nothing of it is taken from the
        folder. :func:`hf_privacy.reports.push_folder` brings it.
    gate
        What the report must show.
    private, create_pr, revision, commit_message, base_model_id
        As in :func:`hf_privacy.reports.push_folder`.
    """

    render: Render
    gate: GateSettings = field(default_factory=GateSettings)
    private: bool = True
    create_pr: bool = False
    revision: str | None = None
    commit_message: str | None = None
    base_model_id: str | None = None


@dataclass(frozen=True)
class PushPlan:
    """The one commit a push makes.

    Attributes
    ----------
    repo_id
        The repository, ``user/name`` or ``name``.
    private
        Whether a repository made by the push is private.
    create_pr
        Whether the commit opens a pull request.
    revision
        Branch of the commit; None is the main branch.
    files
        Name in the repository and size in bytes of each file, sorted by name.
    left_out
        What lies in the folder and is not published.
    commit_message, commit_description
        Title and text of the commit; the text carries the report's headline.
    audited
        Whether the commit carries a privacy report.
    """

    repo_id: str
    private: bool
    create_pr: bool
    revision: str | None
    files: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...]
    commit_message: str
    commit_description: str
    audited: bool

    def describe(self) -> str:
        """The plan as text, as a dry run prints it.

        Examples
        --------
        >>> plan = PushPlan("ann/digits", True, False, None, (("README.md", 120), ("model.safetensors", 2048)),
        ...                 ("optimizer.pt",), "Upload model", "At 1 % false ...", True)
        >>> print(plan.describe())
        One commit to ann/digits (branch main; created private if it does not exist)
          README.md               120 B
          model.safetensors    2.0 KiB
          2 files, 2.1 KiB
        Left out: optimizer.pt
        Message: Upload model
          At 1 % false ...
        Weights and reports in the repository that this commit does not replace are deleted by it.
        """
        visibility = "private" if self.private else "public"
        target = f"branch {self.revision or 'main'}" + (", as a pull request" if self.create_pr else "")
        width = max(len(name) for name, _ in self.files)
        total = sum(size for _, size in self.files)
        lines = [f"One commit to {self.repo_id} ({target}; created {visibility} if it does not exist)"]
        lines += [f"  {name:<{width}} {_bytes(size):>10}" for name, size in self.files]
        lines.append(f"  {len(self.files)} files, {_bytes(total)}")
        if self.left_out:
            lines.append(f"Left out: {', '.join(self.left_out)}")
        lines.append(f"Message: {self.commit_message}")
        lines += [f"  {line}" for line in self.commit_description.splitlines()]
        lines.append("Weights and reports in the repository that this commit does not replace are deleted by it.")
        return "\n".join(lines)


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _description(report: dict[str, Any] | None) -> str:
    """What the audit found, in the commit's text."""
    if report is None:
        return "Unaudited: published without a privacy report."
    first = report["attacks"][0]
    references = report["references"]
    depth = f"{report['depth']} audit" + (f", {references['n_models']} reference models" if references else "")
    lines = [
        headline(report),
        f"Privacy report ({depth}; {first['n_members']} members, {first['n_nonmembers']} non-members).",
        f"Defence: {report['defense']['name']}. Weights: sha256 {report['model']['weights_sha256'][:12]}.",
    ]
    return "\n".join(lines)


def _check_repo_id(name: str, repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InputError(f"{name} is {repo_id!r}, no repository id such as 'user/name': {error}") from error


def prepare_commit(
    folder: str | Path, repo_id: str, options: CommitOptions, *, source: str | Path, secrets: tuple[str, ...] = ()
) -> tuple[PushPlan, FolderContents]:
    """Everything of a push that needs no network: the gate, the card, the bytes, the search for leaks.

    Parameters
    ----------
    folder
        The files that go: for a push a copy, which nobody else writes to.
    repo_id
        ``user/name``.
    options : CommitOptions
    source
        The folder as the user knows it.
    secrets
        Tokens in use.
    """
    report = judge(folder, options.gate)
    audited = report is not None
    made = dict(options.render(Path(folder), report, repo_id))
    if not audited:
        card = made.get(CARD_NAME)
        text = None if card is None else card.decode("utf-8")
        made[CARD_NAME] = unaudited_card(text, title=repo_id.split("/")[-1]).encode()
    contents = collect_contents(folder, made=made, source=source, base_model_id=options.base_model_id, secrets=secrets)
    names = set(contents.uploads)
    for configuration, weights in (("config.json", "model"), ("adapter_config.json", "adapter_model")):
        if any(is_weights(name) and name.startswith(weights) for name in names) and configuration not in names:
            raise InputError(f"{source} has {weights} weights and no {configuration}: save it with save_pretrained")
    message = options.commit_message
    if message is None:
        message = "Upload model with its privacy report" if audited else "Upload model (unaudited)"
    found = find_secret(message.encode(), secrets)
    if found is not None:
        raise InputError(f"commit_message holds {found}: remove it")
    plan = PushPlan(
        repo_id=repo_id,
        private=options.private,
        create_pr=options.create_pr,
        revision=options.revision,
        files=tuple((name, contents.size(name)) for name in sorted(contents.uploads)),
        left_out=contents.left_out,
        commit_message=message,
        commit_description=_description(report),
        audited=audited,
    )
    return plan, contents


def plan_commit(folder: str | Path, repo_id: str, options: CommitOptions) -> PushPlan:
    """The commit :func:`hf_privacy.hub.commit_folder` would make, after its checks; needs no network and no token.

    Examples
    --------
    >>> plan_commit("no/such/folder", "ann/digits", CommitOptions(render=lambda *_: {}))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: there is no folder no/such/folder: pass the folder of a saved model
    """
    check_names(folder, repo_id, options)
    published_files(folder)  # links are refused before the first of them is read
    plan, _ = prepare_commit(folder, repo_id, options, source=folder)
    return plan


def check_names(folder: str | Path, repo_id: str, options: CommitOptions) -> None:
    """Refuse a repository id that is none, and a folder that is not there."""
    _check_repo_id("repo_id", repo_id)
    if options.base_model_id is not None:
        _check_repo_id("base_model_id", options.base_model_id)
    if not Path(folder).is_dir():
        raise InputError(f"there is no folder {folder}: pass the folder of a saved model")
