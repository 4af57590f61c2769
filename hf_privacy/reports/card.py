"""The Hub model card: written whole, or, in a card that is not ours, the privacy section and metadata alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCardData

from hf_privacy.errors import InputError, one_line
from hf_privacy.hub.unaudited import UNAUDITED_TAG
from hf_privacy.reports.card_data import AUDITED_TAG, METADATA_FIELDS, CardData
from hf_privacy.reports.files import write_together
from hf_privacy.reports.leaks import refuse_leaks
from hf_privacy.reports.model_index import AUC_METRIC, HELD_OUT_SPLIT, ROBUST_METRIC, TPR_METRIC
from hf_privacy.reports.rendering import render
from hf_privacy.reports.report import Report
from hf_privacy.yaml_text import load_yaml

CARD_FILE = "README.md"
OURS = "<!-- hf_privacy:card -->"
BEGIN, END = "<!-- hf_privacy:begin -->", "<!-- hf_privacy:end -->"
# The parts of a card of ours, beside the privacy section, that come from the report and the repository.
_BLOCKS = tuple(
    re.compile(rf"<!-- hf_privacy:{name} -->.*?<!-- hf_privacy:/{name} -->", re.DOTALL) for name in ("about", "usage")
)
_METADATA = re.compile(r"\A\s*---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
# What `hf_privacy.hub` puts on the card of a model pushed without a report.
_UNAUDITED_NOTICE = re.compile(r"> \[!WARNING\]\n> \*\*Unaudited\.\*\*[^\n]*\n+")
_AUTO_CLASSES = {
    "image-classification": ("AutoModelForImageClassification", "AutoImageProcessor"),
    "text-classification": ("AutoModelForSequenceClassification", "AutoTokenizer"),
    "token-classification": ("AutoModelForTokenClassification", "AutoTokenizer"),
    "text-generation": ("AutoModelForCausalLM", "AutoTokenizer"),
    "tabular-classification": ("AutoModelForSequenceClassification", None),
}
# Of tasks whose architecture transformers does not know by itself: what makes it known.
_OUR_MODELS = {"tabular-classification": "hf_privacy.models"}


def render_card(report: Report | None, card_data: CardData) -> str:
    """Render a whole model card: metadata, what the model is, the privacy report, how to load it.

    Parameters
    ----------
    report : Report or None
        With None the card says plainly that the model is unaudited.
    card_data : CardData
        Its `metadata` is computed here.

    Returns
    -------
    str
        Markdown with a YAML block.

    Raises
    ------
    InputError
        When the card would hold a token or an absolute path.

    Examples
    --------
    >>> card = render_card(None, CardData(model_name="digits"))
    >>> "The privacy of this model has not been audited" in card
    True
    """
    metadata = card_data.compute(report)
    model_class, processor_class = _AUTO_CLASSES.get(card_data.pipeline_tag or "", (None, None))
    body = render(
        "model_card.md.jinja",
        report,
        ours=OURS,
        section=_section(report, card_data),
        data=card_data,
        title=card_data.title(report),
        base=card_data.shown_base(report),
        base_revision=card_data.base_revision(report),
        hyperparameters=_scalars(card_data.hyperparameters or (report.training if report else {})),
        repo_id=card_data.repo_id or "owner/name",
        model_class=model_class,
        processor_class=processor_class,
        our_models=_OUR_MODELS.get(card_data.pipeline_tag or ""),
        adapter=card_data.library_name == "peft" or bool(report and report.model["adapter"]),
    )
    refuse_leaks(body, name="the model card")
    return _with_metadata(metadata, body)


def write_card(folder: str | Path, report: Report | None, card_data: CardData) -> Path:
    """Write ``README.md``, keeping the text of a card that someone else wrote.

    A card of ours is written anew. In any other card only the text between our two markers is replaced (it is
    appended the first time), and the metadata is merged: the author's values stay, lists are joined, and our own
    earlier results and tags give way to the new ones.

    Parameters
    ----------
    folder : path
        The model's folder.
    report, card_data
        As for :func:`render_card`.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    InputError
        When the existing card has broken markers or metadata, or the new text would hold a token or an absolute path.
    """
    path = Path(folder) / CARD_FILE
    existing = read_card(path) if path.is_file() else ""
    card = card_text(existing, report, card_data, anew=True)
    return write_together(folder, {CARD_FILE: card.encode()}) / CARD_FILE


def read_card(path: Path) -> str:
    """Read a card; one that is not UTF-8, as the Hub asks, is an `InputError`."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text ({error.reason}): save it as UTF-8") from error


def card_text(existing: str, report: Report | None, card_data: CardData, *, anew: bool) -> str:
    """Give the card that takes the place of an existing one, as `write_card` does.

    With ``anew`` a card of ours is written from ``card_data``. Otherwise it keeps its text, such as the
    hyper-parameters and the description that it was written with, and what stands between our markers and the metadata
    are made anew.
    """
    newline = "\r\n" if "\r\n" in existing else "\n"
    plain = existing.replace("\r\n", "\n")
    ours = OURS in plain
    if not plain.strip() or (ours and (anew or not all(block.search(plain) for block in _BLOCKS))):
        return render_card(report, card_data)
    if ours:
        fresh = render_card(report, card_data)
        for block in _BLOCKS:
            match = block.search(fresh)
            assert match is not None
            plain = plain.replace(block.search(plain).group(), match.group())
    return _merged(plain, report, card_data).replace("\n", newline)


def _merged(existing: str, report: Report | None, card_data: CardData) -> str:
    metadata, text = _split_metadata(existing)
    section = f"{BEGIN}\n{_section(report, card_data)}\n{END}"
    refuse_leaks(section, name="the card's privacy section")
    if report is not None:
        text = _UNAUDITED_NOTICE.sub("", text)
    begins, ends = text.count(BEGIN), text.count(END)
    if (begins, ends) == (0, 0):
        text = f"{text.rstrip()}\n\n{section}\n"
    elif (begins, ends) == (1, 1) and text.index(BEGIN) < text.index(END):
        text = text[: text.index(BEGIN)] + section + text[text.index(END) + len(END) :]
    else:
        raise InputError(
            f"{CARD_FILE} has {begins} {BEGIN} and {ends} {END}: keep one of each, in this order, or remove them all"
        )
    return _with_metadata(_merged_metadata(metadata, card_data.compute(report)), text)


def _split_metadata(card: str) -> tuple[dict[str, Any], str]:
    match = _METADATA.match(card)
    if not match:
        return {}, card
    try:
        metadata = load_yaml(match.group(1) or "") or {}
        ModelCardData(**metadata)  # the Hub's own reading of model-index
    except (yaml.YAMLError, TypeError, ValueError) as error:
        why = one_line(error, longest=None)
        raise InputError(f"the metadata block of {CARD_FILE} cannot be read ({why}): repair or remove it") from error
    return metadata, card[match.end() :]


def _merged_metadata(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    merged = {**{name: value for name, value in ours.items() if name not in theirs}, **theirs}
    # A relation written by us would speak of a base model written by someone else.
    if "base_model" in theirs and "base_model_relation" not in theirs:
        merged.pop("base_model_relation", None)
    for name in ("tags", "datasets", "metrics"):
        kept = [item for item in _listed(theirs.get(name)) if not _ours_earlier(item)]
        joined = list(dict.fromkeys([*kept, *ours.get(name, [])]))
        if joined:
            merged[name] = joined
    index = _merged_index(theirs.get("model-index"), ours.get("model-index"))
    if index:
        merged["model-index"] = index
    else:
        merged.pop("model-index", None)
    first = [name for name in merged if name in theirs]
    return {name: merged[name] for name in [*first, *(n for n in METADATA_FIELDS if n in merged and n not in theirs)]}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _ours_earlier(tag: Any) -> bool:
    return tag in (AUDITED_TAG, UNAUDITED_TAG) or (isinstance(tag, str) and tag.startswith("defense:"))


def _merged_index(theirs: list[dict[str, Any]] | None, ours: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for entry in theirs or []:
        results = [result for result in map(_without_our_metrics, entry["results"]) if result["metrics"]]
        if results:
            kept.append({**entry, "results": results})
    if not ours:
        return kept
    if not kept:
        return ours
    return [{**kept[0], "results": [*kept[0]["results"], *ours[0]["results"]]}, *kept[1:]]


def _without_our_metrics(result: dict[str, Any]) -> dict[str, Any]:
    ours = {AUC_METRIC, TPR_METRIC, ROBUST_METRIC}
    if result["dataset"].get("split") == HELD_OUT_SPLIT:
        ours |= {"accuracy", "perplexity", "loss"}
    return {**result, "metrics": [metric for metric in result["metrics"] if metric["type"] not in ours]}


def _with_metadata(metadata: dict[str, Any], text: str) -> str:
    block = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{block}---\n{text if text.startswith(chr(10)) else chr(10) + text}"


def _section(report: Report | None, card_data: CardData) -> str:
    return render("privacy_section.md.jinja", report, command=card_data.shown_command()).strip()


def _scalars(hyperparameters: dict[str, Any]) -> dict[str, str]:
    for name, value in hyperparameters.items():
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise InputError(
                f"hyperparameters holds a {type(value).__name__} under {name!r}: the card lists scalars only"
            )
    return {
        name: f"{value:.6g}" if isinstance(value, float) else f"{value}" for name, value in hyperparameters.items()
    }
