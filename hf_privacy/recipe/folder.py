"""What a run keeps beside the model it trained: private files that are never pushed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.atomic_file import write_atomically
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside, load_outside, own_sources
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.shaping import shaping_arguments

if TYPE_CHECKING:
    from hf_privacy.data import MembershipSplit

PRIVATE = "private"
# Sections that may change between training and audit or push without the model becoming another.
LATER_SECTIONS = ("unlearning", "audit", "push", "output_dir", "name", "training_dynamics")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: the model, its card and report, and ``private/`` with recipe, split and references.

    ``private/`` tells who was a member. The push has a list of what it sends, and nothing in there is on it.
    """

    path: Path

    @property
    def private(self) -> Path:
        """Recipe, split, training record, reference signals."""
        return self.path / PRIVATE

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe the model is trained with."""
        return self.private / "recipe.yaml"

    @property
    def source_file(self) -> Path:
        """SHA-256 of the source files of a defence from outside, as they were when training began."""
        return self.private / "defense.sha256"

    @property
    def split_file(self) -> Path:
        """The membership split."""
        return self.private / "split.safetensors"

    @property
    def record_file(self) -> Path:
        """Written last: what training took and ended with. Its presence says that the model is whole."""
        return self.private / "training.json"

    def check_usable(self) -> None:
        """Refuse a path that no folder can be made at, before hours are spent on what would lie there.

        Raises
        ------
        InputError
            For a file, something below a file, or a folder that may not be written to.
        """
        there = self.path
        while not (there.exists() or there.is_symlink()) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise InputError(f"output_dir is {str(self.path)!r} and {there.name!r} is a file: choose another folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(
                f"output_dir is {str(self.path)!r} and this user may not write there: choose another folder"
            )

    def start(self, recipe: Recipe) -> None:
        """Claim the folder for this recipe's training, or refuse when it holds a run of another.

        Another is one that makes other weights: what only says where or how it runs (`shaping_arguments`) may change.

        Raises
        ------
        InputError
            Names the sections that differ.
        """
        self.check(recipe)
        if self.recipe_file.is_file():
            return
        self.private.mkdir(parents=True, exist_ok=True)
        if is_outside(recipe.defense):
            write_atomically(self.source_file, _source_of(recipe).encode())
        recipe.save(self.recipe_file)

    def check(self, recipe: Recipe) -> None:
        """Refuse, as `start` does, a folder that holds a run of another recipe; nothing is written."""
        if self.recipe_file.is_file():
            theirs, ours = asdict(Recipe.load(self.recipe_file)), asdict(recipe)
            for sections in (theirs, ours):
                sections["training"] = shaping_arguments(sections["training"])
            different = [name for name in ours if name not in LATER_SECTIONS and theirs[name] != ours[name]]
            if different:
                raise InputError(
                    f"output_dir {str(self.path)!r} holds a run of another recipe (different: {', '.join(different)})"
                    ": choose another output_dir, or delete that one"
                )
            if self.source_file.is_file() and self.source_file.read_text(encoding="ascii") != _source_of(recipe):
                raise InputError(
                    f"output_dir {str(self.path)!r} holds a run of {recipe.defense} as it was before its source file "
                    "changed: choose another output_dir, or delete that one"
                )

    def finish(self, split: MembershipSplit, record: dict[str, Any]) -> None:
        """Write split and record, once the model is saved."""
        split.save(self.split_file)
        write_atomically(self.record_file, (json.dumps(record, indent=2) + "\n").encode())

    @property
    def is_trained(self) -> bool:
        """Whether training finished here."""
        return self.record_file.is_file()

    def record(self) -> dict[str, Any]:
        """The training record.

        Raises
        ------
        InputError
            If no finished training is here.
        """
        if not self.is_trained:
            raise InputError(f"there is no trained model in {str(self.path)!r}: run `hf-privacy train` first")
        return json.loads(self.record_file.read_text(encoding="utf-8"))


def _source_of(recipe: Recipe) -> str:
    return "\n".join(own_sources(load_outside(recipe.defense, argument="defense")))
