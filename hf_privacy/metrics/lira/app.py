"""The evaluate module as a web page: signals and membership in, leakage out."""

from __future__ import annotations

import json
from pathlib import Path

import evaluate

from hf_privacy.errors import InputError

EXAMPLE = """\
{
  "predictions": [3.0, 0.5, 2.0, 0.2],
  "references": [1, 0, 1, 0],
  "reference_signals": [[2.0, 0.0, 2.2, 1.1], [4.0, 1.0, 3.0, 0.4], [0.0, 3.0, 0.1, 2.5], [1.0, 5.0, 0.5, 1.9]],
  "reference_membership": [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]],
  "fprs": [0.5]
}
"""


def compute(arguments: str) -> dict:
    """Result of the module for a JSON object of its arguments."""
    module = evaluate.load(str(Path(__file__).with_name("lira.py")), keep_in_memory=True)
    try:
        values = json.loads(arguments)
    except json.JSONDecodeError as error:
        raise InputError(f"the arguments are no JSON ({error}): pass an object such as the example") from error
    if not isinstance(values, dict) or not {"predictions", "references"} <= values.keys():
        raise InputError("the arguments lack predictions or references: pass an object such as the example")
    return module.compute(**values)


def build():
    """The page; gradio is imported here, so that the module needs it for nothing else."""
    import gradio

    def answer(arguments: str) -> dict:
        try:
            return compute(arguments)
        except (InputError, TypeError) as error:  # TypeError: an argument the module does not know, or lacks
            raise gradio.Error(str(error)) from error

    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return gradio.Interface(
        fn=answer,
        inputs=gradio.Code(value=EXAMPLE, language="json", label="Arguments of compute()"),
        outputs=gradio.JSON(label="Result"),
        title="LiRA",
        article=readme.split("---", 2)[2],
    )


if __name__ == "__main__":
    build().launch()
