"""Publish a saved model with its privacy report: one commit, private by default, nothing sent before every check.

What the tests show, and what they cannot: the client of huggingface_hub is run for real against a small server on the
same machine that speaks the Hub's routes. That proves which requests are made, which bytes are uploaded, and that the
model loads again from what was uploaded. It does not prove what only the Hub decides: its rules for the card's
metadata (the test server only asks that the YAML can be read), the permissions of a token or an organisation, storage
quotas, and uploads over Xet, the Hub's own transfer protocol, which is switched off there. One opt-in test runs
against the real Hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from hf_privacy.errors import InputError
from hf_privacy.hub.contents import is_replaced
from hf_privacy.hub.gate import TprBudget
from hf_privacy.hub.plan import PushPlan, prepare_push


def check_login(token: str | None = None) -> str:
    """The token a push will use, found without the network; for a training run to call before it starts.

    Parameters
    ----------
    token
        The token itself; None looks at the environment variable ``HF_TOKEN``, then at the login file.

    Raises
    ------
    InputError
        The Hub is switched off (``HF_HUB_OFFLINE``), or there is no token.
    """
    if constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set, so nothing can be pushed to the Hub: unset it, or push later")
    token = token or get_token()
    if not token:
        raise InputError(
            "there is no token for the Hub: run `hf auth login`, set the environment variable HF_TOKEN, or pass token"
        )
    return token


@contextmanager
def _refusals_in_one_sentence(plan: PushPlan) -> Iterator[None]:
    """Turn the Hub's answers that the user can act on into input errors; other failures keep their traceback."""
    try:
        yield
    except RevisionNotFoundError as error:
        raise InputError(f"{plan.repo_id} has no revision {plan.revision!r} to open a pull request on") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise InputError(
                f"the Hub refuses this token for {plan.repo_id} (HTTP {status}): check that the token is valid and "
                "may write there"
            ) from error
        raise


def _open_repository(api: HfApi, plan: PushPlan) -> str:
    """Make sure that the repository and the branch exist; return the full repository id."""
    repo_id = plan.repo_id if "/" in plan.repo_id else f"{api.whoami()['name']}/{plan.repo_id}"
    try:
        info = api.repo_info(repo_id)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=plan.private, exist_ok=True)
    else:
        if plan.private and not info.private:
            raise InputError(
                f"{repo_id} exists and is public, and the push is to be private: pass private=False to publish "
                "there, or name another repository"
            )
    if plan.revision is not None and not plan.create_pr and not plan.revision.startswith("refs/"):
        api.create_branch(repo_id, branch=plan.revision, exist_ok=True)
    return repo_id


def _stale(present: Sequence[str], uploads: dict[str, bytes | Path]) -> list[str]:
    return sorted(name for name in present if is_replaced(name) and name not in uploads)


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = True,
    create_pr: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
    max_auc: float | None = None,
    max_tpr_at_fpr: TprBudget | None = None,
    max_unlearning_gap: float | None = None,
    require_unlearning: bool = False,
    allow_unaudited: bool = False,
    base_model_id: str | None = None,
) -> CommitInfo:
    """Publish a saved model or adapter in exactly one commit: weights, configuration, card, report and plots.

    A push that would change nothing makes no commit.

    Before anything is sent: the login, the gate, and a search of every text for tokens and machine paths. Weights
    and reports that the repository holds from an earlier push are replaced, or deleted in the same commit, so that a
    report never stands beside weights it was not made for.

    Parameters
    ----------
    folder
        The saved model's folder: ``*.safetensors``, configuration, ``README.md``, ``privacy_report.json``.
    repo_id
        ``user/name``; a bare ``name`` goes under the token's user. An existing repository is fine.
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
    max_auc, max_tpr_at_fpr, max_unlearning_gap, require_unlearning, allow_unaudited
        The gate's; see :func:`hf_privacy.hub.check_gate`. A card pushed without a report says so.
    base_model_id
        Repository id of an adapter's base model, where ``adapter_config.json`` names a local folder.

    Returns
    -------
    huggingface_hub.CommitInfo
        The URL of the commit, as a string with attributes (``oid``, ``pr_url``, ``repo_url``).

    Raises
    ------
    GateError
        The gate refuses the model.
    InputError
        No login, no card, a leak in a file, an unusable repository id, or a token without the right to write.
    """
    token = check_login(token)
    plan, contents = prepare_push(
        folder,
        repo_id,
        private=private,
        create_pr=create_pr,
        revision=revision,
        commit_message=commit_message,
        max_auc=max_auc,
        max_tpr_at_fpr=max_tpr_at_fpr,
        max_unlearning_gap=max_unlearning_gap,
        require_unlearning=require_unlearning,
        allow_unaudited=allow_unaudited,
        base_model_id=base_model_id,
        secrets=(token,),
    )
    api = HfApi(token=token, library_name="hf_privacy")
    with _refusals_in_one_sentence(plan):
        full_repo_id = _open_repository(api, plan)
        stale = _stale(api.list_repo_files(full_repo_id, revision=revision), contents.uploads)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in contents.uploads.items()),
            *(CommitOperationDelete(path_in_repo=name) for name in stale),
        ]
        # create_commit is the one call that never splits: upload_folder may make several commits of one folder.
        return api.create_commit(
            full_repo_id,
            operations=operations,
            commit_message=plan.commit_message,
            commit_description=plan.commit_description,
            revision=revision,
            create_pr=create_pr,
        )
