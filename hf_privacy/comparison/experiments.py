"""The data of a comparison, encoded once for all defences and seeds that share them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from hf_privacy.data import redraw_members
from hf_privacy.recipe import Experiment, Recipe, prepare


class Experiments:
    """Experiments by recipe; rows and tensors are loaded once for each model and data section.

    Parameters
    ----------
    with_repeats : bool
        Look for repeats in the data too.
    """

    def __init__(self, *, with_repeats: bool = True) -> None:
        self._with_repeats = with_repeats
        self._prepared: dict[str, Experiment] = {}

    def of(self, recipe: Recipe) -> Experiment:
        """What `hf_privacy.recipe.prepare` gives for this recipe."""
        data = {name: value for name, value in asdict(recipe.data).items() if name != "member_seed"}
        key = json.dumps([recipe.task, asdict(recipe.model), data], sort_keys=True)
        if key not in self._prepared:
            self._prepared[key] = prepare(recipe, with_repeats=self._with_repeats)
        shared, seed = self._prepared[key], recipe.data.member_seed
        if seed is None or shared.recipe == recipe:
            return replace(shared, recipe=recipe)
        split = redraw_members(shared.split, shared.dataset.row_classes, seed=seed)
        repeats = None if shared.repeats is None else shared.repeats.across(split)
        return replace(shared, recipe=recipe, split=split, repeats=repeats)
