"""Push a metric to a Space with huggingface_hub itself: `evaluate-cli` and `evaluate.push_to_hub` no longer work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from hf_privacy.errors import InputError
from hf_privacy.metrics.cards import space_files
from hf_privacy.network import reaching


class PushedSpace(NamedTuple):
    """A Space and the commit that holds what was pushed.

    Attributes
    ----------
    repo_id : str
        ``owner/name``.
    url : str
        Address of the Space.
    revision : str
        Full hash of the commit.
    """

    repo_id: str
    url: str
    revision: str


class PushedMetric(PushedSpace):
    """A metric's Space and the commit that holds it."""

    @property
    def load_line(self) -> str:
        """The call that loads exactly this commit: a Space's code runs on the machine of whoever loads it.

        Where the commit cannot be fetched (no network, a mistyped hash), evaluate 0.4 runs the version that it cached
        last, whichever that was, and says nothing.

        Examples
        --------
        >>> PushedMetric("me/lira", "https://huggingface.co/spaces/me/lira", "0a1b").load_line
        'evaluate.load("me/lira", module_type="metric", revision="0a1b")'
        """
        return f'evaluate.load("{self.repo_id}", module_type="metric", revision="{self.revision}")'


def push_metric(
    folder: Path, namespace: str, *, token: str, private: bool = True, revision: str | None = None
) -> PushedMetric:
    """Push a module and what is rendered from it to the Space ``namespace/<name of its folder>``, in one commit.

    The Space bears the module's name because `evaluate.load` looks for ``<name of the Space>.py`` in it. A push that
    changes nothing makes no commit.

    Parameters
    ----------
    folder : path
        A module's folder, such as `hf_privacy.metrics.metric_folder` gives.
    namespace : str
        The user or organisation.
    token : str
        A token that may write there.
    private : bool, default True
        Whether the Space is created private. True refuses a Space that exists and is public.
    revision : str, optional
        Branch to commit to, created when missing; the main branch by default.

    Returns
    -------
    PushedMetric

    Raises
    ------
    InputError
        If the namespace cannot be one, the Space is public and the push is to be private, or the Hub refuses the
        token; `NetworkError` where the Hub does not answer; and as `hf_privacy.metrics.cards.space_files`.
    """
    try:
        pushed = push_space(
            space_files(folder),
            f"{namespace}/{folder.name}",
            sdk="gradio",
            what=folder.name,
            token=token,
            private=private,
            revision=revision,
        )
    except HFValidationError as error:
        raise InputError(f"namespace is {namespace!r}: pass the name of a user or an organisation") from error
    return PushedMetric(*pushed)


def push_space(
    files: Mapping[str, bytes],
    repo_id: str,
    *,
    sdk: str,
    what: str,
    token: str,
    private: bool = True,
    revision: str | None = None,
) -> PushedSpace:
    """Push files to a Space, made where there is none, in one commit; one that changes nothing makes none.

    Parameters
    ----------
    files : mapping of str to bytes
        By their names in the Space.
    repo_id : str
        ``owner/name``.
    sdk : {"gradio", "static"}
        What a new Space runs on.
    what : str
        What is pushed, for the commit's message.
    token, private, revision
        As `push_metric`.

    Returns
    -------
    PushedSpace

    Raises
    ------
    InputError
        If the Space is public and the push is to be private, or the Hub refuses the token; `NetworkError` where the
        Hub does not answer.
    HFValidationError
        If it cannot be the name of a Space.
    """
    api = HfApi(token=token, library_name="hf_privacy")
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        with reaching(f"the push to the Space {repo_id} was not confirmed", instead="push later"):
            try:
                info = api.repo_info(repo_id, repo_type="space")
            except RepositoryNotFoundError:
                api.create_repo(repo_id, repo_type="space", space_sdk=sdk, private=private, exist_ok=True)
            else:
                if private and not info.private:
                    raise InputError(
                        f"the Space {repo_id} exists and is public, and the push is to be private: pass --public "
                        "(private=False), or another name"
                    )
            if revision is not None:
                api.create_branch(repo_id, repo_type="space", branch=revision, exist_ok=True)
            commit = api.create_commit(
                repo_id,
                operations=operations,
                commit_message=f"Upload {what} with hf_privacy",
                repo_type="space",
                revision=revision,
            )
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise InputError(
                f"the Hub refuses this token for the Space {repo_id} (HTTP {status}): check that the token is valid "
                "and may write there"
            ) from error
        raise
    return PushedSpace(repo_id, f"{api.endpoint}/spaces/{repo_id}", commit.oid)
