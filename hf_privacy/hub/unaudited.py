"""The mark on the card of a model that was published without an audit."""

from __future__ import annotations

from huggingface_hub import ModelCard

from hf_privacy.errors import InputError

UNAUDITED_TAG = "unaudited"
_NOTICE = (
    "> [!WARNING]\n"
    "> **Unaudited.** This model was published without a privacy audit: nobody measured what it reveals about its "
    "training data.\n"
)
_MINIMAL_CARD = "---\nlibrary_name: transformers\n---\n\n# {title}\n"


def unaudited_card(content: str | None, *, title: str) -> str:
    """A model card that says near its top, and in its tags, that the model was not audited.

    Parameters
    ----------
    content
        The card as it is; None makes a minimal one.
    title
        Heading of the minimal card.

    Returns
    -------
    str
        The card with the tag ``unaudited`` and the notice above or right below the first heading; a card that
        carries them already stays as it is.

    Raises
    ------
    InputError
        The card's metadata block is not YAML.

    Examples
    --------
    >>> card = unaudited_card("# My model", title="unused")
    >>> "**Unaudited.**" in card, "- unaudited" in card, unaudited_card(card, title="unused") == card
    (True, True, True)
    """
    if content is None:
        content = _MINIMAL_CARD.format(title=title)
    try:
        card = ModelCard(content)
    except Exception as error:  # the client raises whatever its YAML reader raises
        raise InputError(f"the metadata of README.md cannot be read ({error}): repair the block at its top") from error
    tags = list(card.data.get("tags") or [])
    changed = False
    if UNAUDITED_TAG not in tags:
        card.data["tags"] = [*tags, UNAUDITED_TAG]
        changed = True
    text = card.text
    if _NOTICE.strip() not in text:
        lines = text.lstrip("\n").splitlines(keepends=True)
        after_heading = 1 if lines and lines[0].startswith("# ") else 0
        heading = "".join(lines[:after_heading]).rstrip("\n")
        rest = "".join(lines[after_heading:]).lstrip("\n")
        text = "\n".join(part for part in ((heading + "\n") if heading else "", _NOTICE, rest) if part)
        changed = True
    if not changed:
        return content
    return f"---\n{card.data.to_yaml()}\n---\n\n{text.lstrip()}"
