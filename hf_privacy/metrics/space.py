"""The page of a metric's Space: the arguments of ``compute()`` as JSON in, its result out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import SpaceCard

from hf_privacy.errors import InputError

if TYPE_CHECKING:
    import gradio


class Space:
    """An `evaluate` module as a web page.

    The ``app.py`` that is pushed beside each module makes one.

    Parameters
    ----------
    app_file : str
        ``__file__`` of the app; the module and its card lie beside it.
    example : dict
        Arguments of ``compute()`` that the page starts with.

    Raises
    ------
    InputError
        If the card has no header with a title.
    """

    def __init__(self, app_file: str, example: Mapping[str, Any]) -> None:
        self.folder = Path(app_file).resolve().parent
        card = SpaceCard.load(self.folder / "README.md")
        self.title, self.article = card.data.title, card.text
        if not self.title:
            raise InputError("the card has no title: start README.md with a YAML header between two --- that has one")
        # A Space is cloned into a folder of another name, so the module is the one file that is not the app.
        [self.module_file] = [path for path in self.folder.glob("*.py") if path.name != "app.py"]
        lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in example.items())
        self.example = "{\n" + ",\n".join(lines) + "\n}\n"

    def compute(self, arguments: str) -> dict[str, Any]:
        """Result of the module for a JSON object of its arguments.

        Raises
        ------
        InputError
            If the text is no JSON object with predictions and references, and as the module raises.
        """
        import evaluate

        try:
            values = json.loads(arguments)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"the arguments are no JSON ({error}): pass an object such as the example") from error
        if not isinstance(values, dict) or not {"predictions", "references"} <= values.keys():
            raise InputError("the arguments lack predictions or references: pass an object such as the example")
        # In memory: what visitors type in has no business in a cache folder.
        return evaluate.load(str(self.module_file), keep_in_memory=True).compute(**values)

    def build(self) -> gradio.Interface:
        """The page; gradio is imported here, so that the module needs it for nothing else."""
        import gradio

        def answer(arguments: str) -> dict[str, Any]:
            try:
                return self.compute(arguments)
            except (ValueError, TypeError) as error:  # TypeError: an argument the module does not know, or lacks
                raise gradio.Error(str(error)) from error

        return gradio.Interface(
            fn=answer,
            inputs=gradio.Code(value=self.example, language="json", label="Arguments of compute()"),
            outputs=gradio.JSON(label="Result"),
            title=self.title,
            article=self.article,
            flagging_mode="never",  # a button that keeps what visitors type in has no place here
        )
