"""The push: what speaks of the audit is made anew from the report, and goes with the weights in one commit."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.errors import InputError
from hf_privacy.hub import CommitOptions, GateSettings, PushPlan, commit_folder, plan_commit
from hf_privacy.reports.card import CARD_FILE, OURS, card_text, read_card
from hf_privacy.reports.card_data import CardData, card_data_of_folder
from hf_privacy.reports.rendered import rendered
from hf_privacy.reports.report import Report

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    card_data: CardData | None = None,
    token: str | None = None,
    private: bool = True,
    create_pr: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
    base_model_id: str | None = None,
    **gate: Any,
) -> CommitInfo:
    """Publish a saved model or adapter in exactly one commit: weights, configuration, card, report and plots.

    A push that would change nothing makes no commit.

    Before anything is sent: the login, the gate, and a search of every byte for tokens and keys, of every text for
    machine paths. All of it works on a copy of the folder's files, which is what is sent. Report, page, plots and the
    card's figures are made anew from the report, for this repository; they are never taken from the folder. Weights
    and reports that the repository holds from an earlier push are replaced, or deleted in the same commit, so that a
    report never stands beside weights it was not made for.

    Parameters
    ----------
    folder
        The saved model's folder: ``*.safetensors``, configuration, ``privacy_report.json`` and, if there is one,
        ``README.md``.
    repo_id
        ``user/name``; a bare ``name`` goes under the token's user. An existing repository is fine.
    card_data : CardData, optional
        What the card says beyond the report: a card of ours is then written anew. By default the card keeps its text,
        and its privacy section, loading example and metadata are made anew.
    token
        A token that may write; None looks at ``HF_TOKEN``, then at the login file.
    private
        Whether the repository is created private. True refuses an existing public repository.
    create_pr
        Open a pull request with the commit.
    revision
        Branch to commit to, created when missing; None is the main branch.
    commit_message
        Title of the commit.
    base_model_id
        Repository id of an adapter's base model, where ``adapter_config.json`` names a local folder.
    **gate
        The settings of :class:`hf_privacy.hub.GateSettings`: ``max_auc``, ``max_tpr_at_fpr``, ``min_depth``,
        ``min_references``, ``allow_unaudited``, … A card pushed without a report says so.

    Returns
    -------
    huggingface_hub.CommitInfo
        The URL of the commit, as a string with attributes (``oid``, ``pr_url``, ``repo_url``).

    Raises
    ------
    GateError
        The gate refuses the model.
    InputError
        No login, a link or a leak in a file, an unusable repository id, an unknown or unusable setting, or a token
        without the right to write.
    """
    options = commit_options(
        card_data,
        gate,
        private=private,
        create_pr=create_pr,
        revision=revision,
        commit_message=commit_message,
        base_model_id=base_model_id,
    )
    return commit_folder(folder, repo_id, options, token=token)


def plan_push(folder: str | Path, repo_id: str, *, card_data: CardData | None = None, **arguments: Any) -> PushPlan:
    """The commit `push_folder` would make, after its checks; needs no network and no token.

    Parameters and exceptions are those of `push_folder`, without the token.

    Examples
    --------
    >>> plan_push("no/such/folder", "ann/digits")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: there is no folder no/such/folder: pass the folder of a saved model
    """
    push = {name: arguments.pop(name) for name in _COMMIT_ARGUMENTS if name in arguments}
    return plan_commit(folder, repo_id, commit_options(card_data, arguments, **push))


_COMMIT_ARGUMENTS = ("private", "create_pr", "revision", "commit_message", "base_model_id")


def commit_options(card_data: CardData | None, gate: dict[str, Any], **push: Any) -> CommitOptions:
    """What `hf_privacy.hub` needs for a push: the gate's settings, and how card, page and plots are made."""
    known = [setting.name for setting in fields(GateSettings)]
    for name in gate:
        if name not in known:
            raise InputError(f"unknown argument {name!r} of the push: pass any of {', '.join(known)}")

    def render(files: Path, report: dict[str, Any] | None, repo_id: str) -> dict[str, bytes]:
        data = replace(card_data_of_folder(files) if card_data is None else card_data, repo_id=repo_id)
        data.base_model = push.get("base_model_id") or data.base_model
        there = files / CARD_FILE
        existing = read_card(there) if there.is_file() else ""
        found = None if report is None else Report.from_dict(report)
        if found is None and OURS not in existing:
            # A model without a report keeps the card it has; the hub writes on it that nobody audited the model.
            return {CARD_FILE: existing.encode()} if existing.strip() else {}
        card = {CARD_FILE: card_text(existing, found, data, anew=card_data is not None).encode()}
        return card if found is None else {**rendered(found), **card}

    return CommitOptions(render=render, gate=GateSettings(**gate), **push)
