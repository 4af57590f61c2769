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
from tempfile import TemporaryDirectory

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from hf_privacy.errors import InputError, NetworkError
from hf_privacy.hub.plan import CommitOptions, PushPlan, check_names, prepare_commit
from hf_privacy.hub.published import copy_published, is_replaced
from hf_privacy.network import reaching


def check_login(token: str | None = None) -> str:
    """The token a push will use, found without the network; for a training run to call before it starts.

    Parameters
    ----------
    token
        The token itself; None looks at the environment variable ``HF_TOKEN``, then at the login file.

    Raises
    ------
    NetworkError
        The Hub is switched off (``HF_HUB_OFFLINE``).
    InputError
        There is no token.
    """
    if constants.HF_HUB_OFFLINE:
        raise NetworkError("HF_HUB_OFFLINE is set, so nothing can be pushed to the Hub: unset it, or push later")
    token = token or get_token()
    if not token:
        raise InputError(
            "there is no token for the Hub: run `hf auth login`, set the environment variable HF_TOKEN, or pass token"
        )
    return token


@contextmanager
def _refusals_in_one_sentence(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn the Hub's answers that the user can act on into input errors; other failures keep their traceback."""
    try:
        with reaching(f"the push to {repo_id} was not confirmed", instead="push later"):
            yield
    except RevisionNotFoundError as error:
        raise InputError(f"{repo_id} has no revision {revision!r} to open a pull request on") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise InputError(
                f"the Hub refuses this token for {repo_id} (HTTP {status}): check that the token is valid and "
                "may write there"
            ) from error
        raise


def _open_repository(api: HfApi, plan: PushPlan) -> None:
    """Make sure that the repository and the branch exist."""
    try:
        info = api.repo_info(plan.repo_id)
    except RepositoryNotFoundError:
        api.create_repo(plan.repo_id, private=plan.private, exist_ok=True)
    else:
        if plan.private and not info.private:
            raise InputError(
                f"{plan.repo_id} exists and is public, and the push is to be private: pass private=False to publish "
                "there, or name another repository"
            )
    if plan.revision is not None and not plan.create_pr and not plan.revision.startswith("refs/"):
        api.create_branch(plan.repo_id, branch=plan.revision, exist_ok=True)


def _stale(present: Sequence[str], uploads: dict[str, bytes | Path]) -> list[str]:
    return sorted(name for name in present if is_replaced(name) and name not in uploads)


def commit_folder(folder: str | Path, repo_id: str, options: CommitOptions, *, token: str | None = None) -> CommitInfo:
    """Publish a saved model or adapter in exactly one commit; :func:`hf_privacy.reports.push_folder` says all of it.

    The folder's files are copied first, and the copy is what is judged, searched and sent: a file that changes
    meanwhile changes nothing.

    Parameters
    ----------
    folder
        The saved model's folder.
    repo_id
        ``user/name``; a bare ``name`` goes under the token's user, who is asked for first.
    options : CommitOptions
    token
        A token that may write; None looks at ``HF_TOKEN``, then at the login file.

    Returns
    -------
    huggingface_hub.CommitInfo

    Raises
    ------
    GateError
        The gate refuses the model.
    InputError
        No login, a link or a leak in a file, an unusable repository id, or a token without the right to write;
        `NetworkError` where the Hub does not answer.
    """
    token = check_login(token)
    check_names(folder, repo_id, options)
    api = HfApi(token=token, library_name="hf_privacy")
    with TemporaryDirectory(prefix="hf_privacy_push_") as copy, _refusals_in_one_sentence(repo_id, options.revision):
        copy_published(folder, copy)
        full_repo_id = repo_id if "/" in repo_id else f"{api.whoami()['name']}/{repo_id}"
        try:
            plan, contents = prepare_commit(copy, full_repo_id, options, source=folder, secrets=(token,))
        except InputError as error:
            raise type(error)(str(error).replace(copy, str(folder))) from error
        _open_repository(api, plan)
        stale = _stale(api.list_repo_files(full_repo_id, revision=plan.revision), contents.uploads)
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
            revision=plan.revision,
            create_pr=plan.create_pr,
        )
