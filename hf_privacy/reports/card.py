"""The Hub model card: written whole, or, in a card that is not ours, the privacy section and metadata alone."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hf_privacy.errors import InputError, one_line
from hf_privacy.hub.headline import evidence_sentence
from hf_privacy.hub.unaudited import UNAUDITED_TAG
from hf_privacy.reports.card_data import (
    AUC_METRIC,
    AUDITED_TAG,
    HELD_OUT_SPLIT,
    METADATA_FIELDS,
    ROBUST_METRIC,
    TPR_METRIC,
    CardData,
)
from hf_privacy.reports.explain import percent, rate, what_it_does_not_mean, what_it_means
from hf_privacy.reports.files import write_together
from hf_privacy.reports.leaks import refuse_leaks
from hf_privacy.reports.page import TEMPLATES, outside_tables, over_runs_rows, unlearning_parts, utility_rows
from hf_privacy.reports.sections.memorization import fewer_examples, memorization_table
from hf_privacy.reports.sections.memorization_plot import is_drawn
from hf_privacy.reports.table import memorization_cells
from hf_privacy.reports.titles import attack_words
from hf_privacy.yaml_text import load_yaml

if TYPE_CHECKING:
    from hf_privacy.reports.report import PrivacyReport

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


def render_card(report: PrivacyReport | None, card_data: CardData) -> str:
    """Render a whole model card: metadata, what the model is, the privacy report, how to load it.

    Parameters
    ----------
    report : PrivacyReport or None
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
    body = (
        _environment()
        .get_template("model_card.md.jinja")
        .render(**_values(report, card_data), section=_section(report, card_data), ours=OURS)
    )
    refuse_leaks(body, name="the model card")
    return _with_metadata(metadata, body)


def write_card(folder: str | Path, report: PrivacyReport | None, card_data: CardData) -> Path:
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


def card_text(existing: str, report: PrivacyReport | None, card_data: CardData, *, anew: bool) -> str:
    """Give the card that takes the place of an existing one, as `write_card` does.

    Parameters
    ----------
    existing : str
        The card's text, empty where there is none.
    report, card_data
        As for :func:`render_card`.
    anew : bool
        Write a card of ours anew from ``card_data``. Otherwise it keeps its text, such as the hyper-parameters and
        the description that it was written with, and what stands between our markers and the metadata are made anew.
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


def _merged(existing: str, report: PrivacyReport | None, card_data: CardData) -> str:
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
        ours.add("accuracy")
    return {**result, "metrics": [metric for metric in result["metrics"] if metric["type"] not in ours]}


def _with_metadata(metadata: dict[str, Any], text: str) -> str:
    block = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{block}---\n{text if text.startswith(chr(10)) else chr(10) + text}"


def _section(report: PrivacyReport | None, card_data: CardData) -> str:
    return _environment().get_template("privacy_section.md.jinja").render(**_values(report, card_data)).strip()


def _values(report: PrivacyReport | None, card_data: CardData) -> dict[str, Any]:
    by_memorization = memorization_table(report) if report else None
    model_class, processor_class = _AUTO_CLASSES.get(card_data.pipeline_tag or "", (None, None))
    return {
        "report": report,
        "data": card_data,
        "title": card_data.title(report),
        "base": card_data.shown_base(report),
        "command": card_data.shown_command(),
        "hyperparameters": _scalars(card_data.hyperparameters or (report.training if report else {})),
        "repo_id": card_data.repo_id or "owner/name",
        "model_class": model_class,
        "processor_class": processor_class,
        "our_models": _OUR_MODELS.get(card_data.pipeline_tag or ""),
        "adapter": card_data.library_name == "peft" or bool(report and report.model["adapter"]),
        "fprs": sorted({e["fpr"] for a in report.attacks for e in a["tpr_at_fpr"]}) if report else [],
        "unlearning": unlearning_parts(report) if report else None,
        "outside": outside_tables(report) if report else {},
        "utility": utility_rows(report) if report else [],
        "over_runs": over_runs_rows(report) if report else [],
        "by_memorization": by_memorization,
        "by_memorization_cells": [memorization_cells(row, by_memorization) for row in by_memorization.rows]
        if by_memorization
        else [],
        "fewer": fewer_examples(by_memorization) if by_memorization else None,
        "memorization_drawn": is_drawn(by_memorization),
        "adversary": attack_words(report.robustness) if report and report.robustness else None,
        "headline": report.headline() if report else None,
        "evidence": evidence_sentence(vars(report)) if report else None,
        "meaning": what_it_means(report) if report else [],
        "no_meaning": what_it_does_not_mean(report) if report else [],
    }


def _scalars(hyperparameters: dict[str, Any]) -> dict[str, str]:
    for name, value in hyperparameters.items():
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise InputError(
                f"hyperparameters holds a {type(value).__name__} under {name!r}: the card lists scalars only"
            )
    return {
        name: f"{value:.6g}" if isinstance(value, float) else f"{value}" for name, value in hyperparameters.items()
    }


def _in_markdown(text: Any) -> str:
    """Make a text safe inside a Markdown sentence or table cell: no HTML, column, new line, link or emphasis."""
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore inside a word, as in most names here, means nothing to Markdown.
    return re.sub(r"([\\|`*~]|(?<![^\W_])_|_(?![^\W_])|!(?=\[)|\](?=[(\[:]))", r"\\\1", flat)


def _in_code(text: Any) -> str:
    """A text as a Markdown code span, whatever backticks it holds."""
    flat = " ".join(str(text).split())
    fence = "`" * (max(map(len, re.findall("`+", flat)), default=0) + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def _in_python(text: Any) -> str:
    """A text as a Python string in double quotes, of ASCII and without backticks, so that it ends no fenced block."""
    escaped = str(text).encode("unicode_escape", "backslashreplace").decode("ascii")
    return '"' + escaped.replace('"', '\\"').replace("`", "\\x60") + '"'


def _in_fence(text: str) -> str:
    """A text inside a fenced block, which a line of its own backticks would end."""
    return re.sub(r"`(?=``)|(?<=`)`", "'", text)


@cache
def _environment() -> Environment:
    # Markdown is no HTML, so values pass through the filter `md` instead of autoescape.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(percent=percent, md=_in_markdown, code=_in_code, py=_in_python, fence=_in_fence)
    environment.globals.update(rate=rate)
    return environment
