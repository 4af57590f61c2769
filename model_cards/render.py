"""The cards and reports of the recipes' models.

python model_cards/render.py                    draw every page, plot and card here again from its privacy_report.json
python model_cards/render.py runs/digits ...    first take in what a push of these folders would send, weights left out
"""

from __future__ import annotations

import sys
from pathlib import Path

from hf_privacy.cli import main as command_line
from hf_privacy.hub.plan import prepare_commit
from hf_privacy.hub.published import is_weights
from hf_privacy.recipe import Recipe, RunFolder
from hf_privacy.reports.publish import commit_options

HERE = Path(__file__).parent


def take_in(folder: Path) -> None:
    """Copy a run's public files: the same bytes a push would send, so local paths are gone from them."""
    recipe = Recipe.load(RunFolder(folder).recipe_file)
    options = commit_options(None, {}, base_model_id=recipe.model.base_model_id)
    _, contents = prepare_commit(folder, recipe.push.repo_id or "owner/name", options, source=folder)
    target = HERE / (recipe.name or folder.name)
    target.mkdir(exist_ok=True)
    for name, content in contents.uploads.items():
        if not is_weights(name) and not name.startswith(("tokenizer", "vocab", "special_tokens")):
            (target / name).write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())


def main() -> int:
    """Take in the folders named, then render all."""
    for argument in sys.argv[1:]:
        take_in(Path(argument))
    folders = sorted(path.parent for path in HERE.glob("*/privacy_report.json"))
    return max((command_line(["report", "--folder", str(folder)]) for folder in folders), default=0)


if __name__ == "__main__":
    sys.exit(main())
