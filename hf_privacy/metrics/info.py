"""What an `evaluate` module says of itself, read from its docstring: the text of its card, written once."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.errors import InputError

if TYPE_CHECKING:
    import evaluate

# What the modules of attacks share; a docstring names these where they stand.
_SHARED = {
    "{fprs_and_confidence}": """\
- **fprs** (list of float, default 0.001, 0.01, 0.1): false positive rates at which to give the true positive rate.
- **confidence** (float, default 0.95): of every interval.""",
    "{attack_output}": """\
A dict of plain Python numbers; an AUC of 0.5 is what guessing reaches:

| key | meaning |
|---|---|
| `auc`, `auc_low`, `auc_high` | area under the ROC curve (ties count one half) and its interval (DeLong, logit \
scale, widened near 0 and 1) |
| `tpr_at_fpr_<x>`, `…_low`, `…_high` | share of members found at a threshold that fresh non-members pass with \
probability **not above** x, with an interval that covers it at that rate, the chance in the threshold included; \
`…_conditional_low` and `…_conditional_high` are the Clopper–Pearson interval at the threshold as it is; left out \
where fewer than 1/x − 1 non-members were given |
| `balanced_accuracy`, `advantage` | largest (TPR + 1 − FPR)/2 and largest TPR − FPR over all thresholds, found in \
hindsight |
| `n_members`, `n_nonmembers`, `confidence` | how many examples were seen, and the level of the intervals |""",
    "{attack_limitations}": """\
- It measures one attack on one model. Higher means more leakage; a value near 0.5 says that this attack found little,
  never that nothing leaks.
- The intervals cover the choice of examples, not the chance of training.
- Members and non-members must come from the same distribution, or the score tells the distributions apart instead.""",
}


def metric_info(docstring: str, *, tables: Collection[str] = ()) -> evaluate.MetricInfo:
    """The `evaluate` info of a module, from its docstring.

    Parameters
    ----------
    docstring : str
        ``Title: summary.``, a description, then the sections ``## Inputs``, ``## Output``, ``## Limitations`` and
        ``## Citation`` (BibTeX in a fence), in Markdown. What all attacks share is named in braces:
        ``{fprs_and_confidence}``, ``{attack_output}``, ``{attack_limitations}``.
    tables : collection of str
        Which of "predictions" and "references" hold a row of numbers per example, not a number.

    Examples
    --------
    >>> info = metric_info("A: b.\\n\\nMore.\\n\\n## Inputs\\n\\n- x\\n\\n## Citation\\n\\n```bibtex\\n@b\\n```")
    >>> info.description, info.inputs_description, info.citation
    ('More.', '## Inputs\\n\\n- x', '@b')
    """
    import datasets  # only here: the names of the modules are read without them
    import evaluate

    number = datasets.Value("float64")  # in float32, scores that differ would tie and the ROC curve with them
    features = {name: datasets.List(number) if name in tables else number for name in ("predictions", "references")}
    return evaluate.MetricInfo(**info_texts(docstring), features=datasets.Features(features))


def info_texts(docstring: str) -> dict[str, str]:
    """``description``, ``inputs_description`` and ``citation`` of a module, from its docstring."""
    for name, text in _SHARED.items():
        docstring = docstring.replace(name, text)
    before, heading, sections = docstring.partition("## Inputs\n")
    inputs, _, citation = sections.partition("\n## Citation\n")
    return {
        "description": before.partition("\n\n")[2].strip(),
        "inputs_description": (heading + inputs).strip(),
        "citation": citation.strip().removeprefix("```bibtex").removesuffix("```").strip(),
    }


def module_source(folder: Path) -> str:
    """The text of the module of a folder.

    Raises
    ------
    InputError
        If the folder holds no module of its own name.
    """
    file = folder / f"{folder.name}.py"
    if not file.is_file():
        raise InputError(f"{folder} holds no {file.name}: pass a folder with a module of its name")
    return file.read_text(encoding="utf-8")


def title_and_summary(folder: Path) -> tuple[str, str]:
    """The first sentence of the docstring of a folder's module, at the colon; the module is not run.

    Raises
    ------
    InputError
        If the folder holds no module of its own name, or the module no such docstring.

    Examples
    --------
    >>> title_and_summary(Path(__file__).parent / "unlearning_degree")[0]
    'Unlearning Degree'
    """
    first = (ast.get_docstring(ast.parse(module_source(folder))) or "").partition("\n\n")[0]
    title, colon, summary = " ".join(first.split()).partition(": ")
    if not colon:
        raise InputError(
            f"the docstring of {folder.name}.py starts with no title: start it with 'Title: one sentence.'"
        )
    return title, summary[0].upper() + summary[1:]
