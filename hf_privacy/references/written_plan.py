"""A plan written once: everything that a machine must know to train reference model i, and nothing else."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.errors import InputError
from hf_privacy.hub.published import is_published
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.shaping import shaping_arguments
from hf_privacy.references.shared_folder import SharedFolder, folder_of

if TYPE_CHECKING:
    from hf_privacy.references.collect import ReferenceRun

PLAN_FORMAT = 1
# What reference models and their signals depend on; the rest of an audit's settings is the coordinator's.
_AUDIT_KEYS = (
    "references",
    "fraction",
    "reference_seed",
    "queries",
    "robustness",
    "curvature",
    "batch_size",
    "stack",
    "keep_weights",
)
_LEFT_OUT = ("output_dir", "name", "push", "unlearning", "training_dynamics")
# Where model and data lie differs between machines; that they are the same is told by their bytes.
_PLACES = {
    "data": ("name_or_path", "dataset_id", "member_seed"),
    "model": ("name_or_path", "base_model_id"),
    "audit": ("references", "batch_size", "stack", "keep_weights"),
}


@dataclass(frozen=True)
class WrittenPlan:
    """What `hf-privacy references plan` writes: reference i is a function of it and of i alone.

    It holds hashes of examples, split and initial weights, and no example. Its places and seeds are the recipe's: who
    has the data as well can draw the members from them, so its file is for its owner alone, and no push takes it. The
    keys of differential privacy's noise are in no file.

    Attributes
    ----------
    recipe : dict
        What shapes a reference, of a resolved `Recipe`.
    store : dict
        Metadata of the store that the references make (`hf_privacy.signals.SignalStore`): hashes of recipe, dataset,
        split, rows and encoded data, number of models and examples, queries, signals, versions.
    base_revision : str, optional
        The commit of the checkpoint that training starts from.
    """

    recipe: dict[str, Any]
    store: dict[str, Any]
    base_revision: str | None = None

    @property
    def n_references(self) -> int:
        """Number of reference models, K."""
        return int(self.store["n_models"])

    @property
    def hash(self) -> str:
        """SHA-256 of all it says, which every output names."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def save(self, url: str) -> None:
        """Write it, once: to a path, or any URL that fsspec knows.

        Raises
        ------
        InputError
            Where another plan is there already; the same one stays. For a name that a push would take for a model's.
        """
        folder, name = folder_of(url)
        if is_published(name):
            raise InputError(
                f"the plan's file is {name!r}, which a push takes for the model's: name another, such as plan.json"
            )
        shared = SharedFolder(folder)
        if not shared.write(name, self.text(indent=2).encode(), once=True) and WrittenPlan.load(url) != self:
            raise InputError(f"{name} in {shared.name} is another plan already: name another file")

    @classmethod
    def load(cls, url: str) -> WrittenPlan:
        """Read a plan.

        Raises
        ------
        InputError
            Where there is none, or one of another format.
        """
        folder, name = folder_of(url)
        shared = SharedFolder(folder)
        content = shared.read(name)
        if content is None:
            raise InputError(
                f"there is no plan {name!r} in {shared.name}: write one with `hf-privacy references plan`"
            )
        return cls.of_text(content, name=f"{name} in {shared.name}")

    @classmethod
    def of_text(cls, text: str | bytes, *, name: str = "the plan") -> WrittenPlan:
        """Read a plan from its JSON; ``name`` is what a message calls it."""
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        whole = isinstance(values, dict) and all(isinstance(values.get(key), dict) for key in ("recipe", "store"))
        if not whole or values.get("format") != PLAN_FORMAT:
            seen = values.get("format") if isinstance(values, dict) else None
            raise InputError(
                f"{name} is no plan of format {PLAN_FORMAT} (seen: {seen!r}): write one with "
                "`hf-privacy references plan`"
            )
        return cls(**{field.name: values.get(field.name) for field in fields(cls)})

    @classmethod
    def of(cls, recipe: Recipe, store: Mapping[str, Any], base_revision: str | None = None) -> WrittenPlan:
        """The plan of a recipe whose references make a store with these metadata."""
        values = {"recipe": _reduced(recipe), "store": dict(store), "base_revision": base_revision}
        return cls(**json.loads(json.dumps(values)))  # as it is read back: of JSON's kinds alone

    def worker_recipe(self, overrides: Mapping[str, Any]) -> Recipe:
        """The recipe that a machine trains by: with ``overrides``, for places that are others there."""
        return Recipe.from_dict(self.recipe).override(overrides)

    def refuse_other_recipe(self, recipe: Recipe) -> None:
        """Refuse a recipe whose references are not those of this plan, as far as that is seen without data.

        Raises
        ------
        InputError
            Naming the sections that differ.
        """
        ours, theirs = _shaping_sections(_reduced(recipe)), _shaping_sections(self.recipe)
        different = [name for name in ours if ours[name] != theirs.get(name)]
        if different:
            raise InputError(
                f"the plan is of another recipe (different: {', '.join(different)}): write a plan of this one, or "
                "pass the recipe it was written for"
            )

    def refuse_other_store(self, metadata: Mapping[str, Any]) -> None:
        """Refuse data, weights or versions other than the plan's, by the metadata of the store they would fill.

        Raises
        ------
        InputError
            Naming what differs.
        """
        different = sorted(
            key for key in {*metadata, *self.store} - {"n_models"} if metadata.get(key) != self.store.get(key)
        )
        if "versions" in different:
            there, here = self.store.get("versions", {}), metadata.get("versions", {})
            names = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
            said = ", ".join(f"{name} {there.get(name)} in the plan, {here.get(name)} here" for name in names)
            raise InputError(f"the plan was written with other versions ({said}): install those, or write it again")
        if different:
            raise InputError(
                f"the references of this machine would not be the plan's (different: {', '.join(different)}): its "
                "data, checkpoint or recipe are others; bring the plan's, or write a plan of these"
            )

    def text(self, *, indent: int | None = None) -> str:
        """It as JSON, always the same."""
        values = {"format": PLAN_FORMAT, **asdict(self)}
        return json.dumps(values, sort_keys=True, indent=indent) + ("\n" if indent else "")


def plan_of_recipe(recipe: Recipe) -> WrittenPlan:
    """Load and check a recipe's data and model, and write down what its references are made of; nothing is trained.

    Raises
    ------
    InputError
        As `hf_privacy.recipe.prepare`, and for an audit without references.
    """
    if recipe.audit.depth != "full":
        raise InputError(
            f"audit.depth is {recipe.audit.depth!r}: only an audit of depth 'full' has references to plan"
        )
    from hf_privacy.models import commit_of

    with tempfile.TemporaryDirectory() as folder:
        store = opened_run(Recipe.from_dict(_reduced(recipe)), Path(folder)).store.metadata
    base = None if recipe.model.from_scratch else commit_of(recipe.model.name_or_path, recipe.model.revision)
    return WrittenPlan.of(recipe, store, base)


def opened_run(recipe: Recipe, folder: Path) -> ReferenceRun:
    """The references of a recipe, with a store and room for checkpoints in ``folder``."""
    from hf_privacy.recipe import prepare
    from hf_privacy.references.audited import audit_references

    experiment = prepare(recipe.override({"output_dir": str(folder)}), with_repeats=False)
    trainer = experiment.trainer(output_dir=folder)
    return audit_references(
        trainer, experiment.dataset, experiment.split, folder / "references", options=experiment.recipe.audit
    )


def _reduced(recipe: Recipe) -> dict[str, Any]:
    values = {name: value for name, value in asdict(recipe).items() if name not in _LEFT_OUT}
    values["audit"] = {name: values["audit"][name] for name in _AUDIT_KEYS}
    return json.loads(json.dumps(values))


def _shaping_sections(values: Mapping[str, Any]) -> dict[str, Any]:
    sections = {**values, "training": shaping_arguments(values["training"], seeds=False)}
    for name, keys in _PLACES.items():
        sections[name] = {key: value for key, value in sections[name].items() if key not in keys}
    return sections
