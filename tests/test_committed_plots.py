"""The plots that this repository holds: each can be drawn again, and each page shows one that is there."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hf_privacy.attack_table import ATTACKS

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is no git checkout"
)


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def keys_of(name: str) -> list[str]:
    tree = ast.parse((ROOT / "recipes" / "draw.py").read_text(encoding="utf-8"))
    table = next(node for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == name)
    return [key.value for key in table.value.keys]


def test_every_plot_of_the_recipes_can_be_drawn_again():
    figures, pages = keys_of("FIGURES"), keys_of("PAGES")
    plots = [path.removeprefix("recipes/") for path in tracked("recipes/*.png")]
    others = [path for path in plots if path not in figures]
    assert set(figures) <= set(plots)
    assert {str(Path(path).parent) for path in others} == set(pages)
    assert all((ROOT / "recipes" / page / "result.json").is_file() for page in pages)


def test_every_picture_on_a_page_is_there():
    for page in tracked("*.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"!\[[^\]]*\]\((?!https?:)([^)#]+)\)", text):
            assert ((ROOT / page).parent / link).is_file(), f"{page} shows {link}"


@pytest.mark.parametrize(("heading", "count"), [("location30", 22), ("Fashion-MNIST", 21)])
def test_the_plot_of_budgets_reads_the_table_as_it_is_printed(heading, count):
    spec = importlib.util.spec_from_file_location("plot_of_attacks", ROOT / "recipes/benchmarks/attacks/plot.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    attacks = module.budgets_of(heading)["attacks"]
    names = {entry["name"] for entry in attacks}
    assert len(names) == count
    assert all(name in ATTACKS or name.startswith("lira_") for name in names)
    (lira,) = (one for one in attacks if (one["name"], one["n_references"]) == ("lira_shrunk_offline", 64))
    if heading == "location30":
        assert lira["auc"] == {"mean": 0.864, "low": 0.859, "high": 0.869}
        assert lira["tpr_at_fpr"] == [{"fpr": 0.01, "mean": 0.27, "low": 0.23600000000000002, "high": 0.305}]
