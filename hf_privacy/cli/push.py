"""`hf-privacy push`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_privacy.cli.arguments import Options
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import ModelSection, PushSection


def run(options: Options) -> int:
    """Pass the gate and push in one commit, or with ``--dry-run`` list that commit."""
    folder, push, model = _settings(options)
    repo_id = options.flags["repo_id"] or push.repo_id
    if not repo_id:
        raise InputError("no repository: pass --repo-id owner/name, or set push.repo_id in the recipe")
    from hf_privacy.hub import plan_push, push_folder

    arguments: dict[str, Any] = {
        "private": push.private,
        "create_pr": push.create_pr,
        "revision": push.revision,
        "max_auc": push.max_auc,
        "max_tpr_at_fpr": push.max_tpr_at_fpr,
        "max_unlearning_gap": push.max_unlearning_gap,
        "require_unlearning": push.require_unlearning,
        "allow_unaudited": bool(options.flags["allow_unaudited"]) or push.allow_unaudited,
        "base_model_id": model.base_model_id,
    }
    if options.flags["dry_run"]:
        print(plan_push(folder, str(repo_id), **arguments).describe())
    else:
        commit = push_folder(folder, str(repo_id), **arguments)
        print(f"pushed: {commit.pr_url or commit.repo_url}")
    return 0


def _settings(options: Options) -> tuple[Path, PushSection, ModelSection]:
    """Any saved model's folder will do; the recipe beside it, when there is one, brings the push section."""
    if options.config is None and options.folder is not None:
        from hf_privacy.recipe import RunFolder

        folder = Path(options.folder)
        if not RunFolder(folder).recipe_file.is_file():
            if options.overrides:
                raise InputError(f"{options.folder!r} holds no recipe to override: pass --config")
            return folder, PushSection(), ModelSection()
    recipe = options.recipe()
    return Path(recipe.output_dir), recipe.push, recipe.model
