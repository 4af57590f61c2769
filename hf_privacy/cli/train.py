"""`hf-privacy train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import write_atomically
from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import heeded, show
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe

MADE = "recipe.yaml"  # in the run's folder: the recipe that was made for a run without one


def run(options: Options) -> int:
    """Train the recipe's model, or say that it is trained already; a killed run resumes, if it keeps checkpoints."""
    train(options)
    return 0


def train(options: Options) -> None:
    """Train the recipe's model into its ``output_dir`` unless it is there.

    As JSON: ``folder``, ``trained`` (false where it was there), ``training_seconds`` and ``utility`` (by the names of
    the training's record); of a training also ``sizes``, ``truncated``, ``repeats`` (exact, near) and ``recipe``, the
    file of one that was made.
    """
    recipe, text = _recipe(options)
    from hf_privacy.auditing import repeats_across, train_target, worth_words
    from hf_privacy.cli.plain_progress import show_progress
    from hf_privacy.cli.processes import keep_freed_memory
    from hf_privacy.recipe import RunFolder, prepare

    folder = RunFolder(Path(recipe.output_dir))
    if folder.is_trained:
        folder.start(recipe)  # refuses another recipe's folder
        said = f"{folder.path} holds this recipe's trained model already"
        show(said, lambda: {"folder": folder.path, "trained": False, **_ending(folder.record())})
        return
    experiment = prepare(recipe)
    trainer = experiment.trainer()
    keep_freed_memory()
    show_progress(trainer)
    main = trainer.is_world_process_zero()
    if main:
        folder.start(recipe)
        if text is not None:
            write_atomically(folder.path / MADE, text.encode())
            print(f"no recipe was given: this one is in {folder.path / MADE}")
        split = experiment.split
        print(
            f"training on {len(split.members):,} members; {len(split.non_members):,} non-members and "
            f"{len(split.population):,} of the population held out"
        )
        if experiment.dataset.truncated:
            longest = experiment.dataset.row_shape("attention_mask")[0]
            print(f"{experiment.dataset.truncated:,} rows are longer than {longest:,} tokens and were cut")
        exact, near = repeats_across(experiment.repeats)
        facts = {
            "folder": folder.path,
            "trained": True,
            "recipe": None if text is None else folder.path / MADE,
            "sizes": {part: len(getattr(split, part)) for part in ("members", "non_members", "population")},
            "truncated": experiment.dataset.truncated,
            "repeats": {"exact": exact, "near": near},
        }
        print(
            f"repeats of members among the non-members: {exact} exact"
            + (f", {near} near-exact" if near is not None else "")
        )
    record = train_target(experiment, trainer, folder)
    if main:
        said = f"trained in {record['training_seconds']:.1f} s; {worth_words(record)}; saved to {folder.path}"
        show(said, lambda: {**facts, **_ending(record)})


def _ending(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a training record what is printed: seconds, and the utility on members and non-members."""
    utility = {name: value for name, value in record.items() if name.startswith(("member_", "nonmember_"))}
    return {"training_seconds": record["training_seconds"], "utility": utility}


def _recipe(options: Options) -> tuple[Recipe, str | None]:
    """The recipe that is given, or else the one made of ``--data``, ``--label`` and ``--model``, and its text."""
    given = {name: options.flags.get(name) for name in ("data", "label", "model")}
    data = given.pop("data")
    if data is None:
        for name, key in (("label", "data.label_column"), ("model", "model.name_or_path")):
            if given[name] is not None:
                raise InputError(f"--{name} goes with --data, which makes a recipe: in one that is there set --{key}")
        return options.recipe(), None
    if options.config is not None:
        raise InputError("--config and --data are both given: a recipe names its data, which --data.name_or_path sets")
    from hf_privacy.recipe.commented import commented_recipe
    from hf_privacy.recipe.first_recipe import first_recipe

    made = first_recipe(str(data), label=given["label"], model=given["model"], settings=options.overrides)
    recipe = heeded(Recipe.from_dict(made.values))
    return recipe, commented_recipe(made, path=str(Path(recipe.output_dir) / MADE))
