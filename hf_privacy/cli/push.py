"""`hf-privacy push`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.sections import ModelSection, PushSection


def run(options: Options) -> int:
    """Pass the gate and push in one commit, or with ``--dry-run`` list that commit."""
    folder, push, model = push_settings(options)
    repo_id = options.flags["repo_id"] or push.repo_id
    if not repo_id:
        raise InputError("no repository: pass --repo-id owner/name, or set push.repo_id in the recipe")
    from hf_privacy.reports import card_data_of_folder, plan_push, push_folder

    arguments: dict[str, Any] = {
        "private": push.private,
        "create_pr": push.create_pr,
        "revision": push.revision,
        "base_model_id": model.base_model_id,
        **push.gate_settings(),
    }
    if options.flags["allow_unaudited"]:
        arguments["allow_unaudited"] = True
    if push.license is not None and (folder / "config.json").is_file():
        arguments["card_data"] = replace(card_data_of_folder(folder), license=push.license)
    if options.flags["dry_run"]:
        plan = plan_push(folder, str(repo_id), **arguments)
        files = [{"name": name, "bytes": size} for name, size in plan.files]
        show(plan.describe(), lambda: {"pushed": False, **asdict(plan), "files": files})
    else:
        commit = push_folder(folder, str(repo_id), **arguments)
        url = str(commit.pr_url or commit.repo_url)
        facts = {"pushed": True, "repo_id": str(repo_id), "url": url, "commit": commit.oid}
        show(f"pushed: {url}", lambda: facts)
    return 0


def push_settings(options: Options) -> tuple[Path, PushSection, ModelSection]:
    """The folder, and the recipe's sections on the push: any saved model's folder will do, with or without a recipe.

    Without ``--config`` the recipe is the one kept in the folder, or, for an unlearned model, in its run's.
    """
    if options.config is None and options.folder is not None:
        folder = Path(options.folder)
        file = _recipe_of(folder)
        if file is not None:
            recipe = Recipe.load(file).override({**options.overrides, "output_dir": options.folder})
            return folder, recipe.push, recipe.model
        if options.overrides:
            raise InputError(f"{options.folder!r} holds no recipe to override: pass --config")
        return folder, PushSection(), ModelSection()
    recipe = options.recipe()
    return Path(recipe.output_dir), recipe.push, recipe.model


def _recipe_of(folder: Path) -> Path | None:
    from hf_privacy.recipe import RunFolder

    runs = [folder, folder.parent.parent] if folder.parent.name == "unlearned" else [folder]
    return next((file for run in runs if (file := RunFolder(run).recipe_file).is_file()), None)
