"""What a task is, is written in its room: nothing above it asks which one it is, or takes a class's loss itself."""

from __future__ import annotations

import ast
from pathlib import Path

import hf_privacy
from hf_privacy.tasks import TASKS

PACKAGE = Path(hf_privacy.__file__).parent
# The task's loss, a model's own, and losses that are about classes: the rival's, or what two predictions differ by.
ABOUT_CLASSES = {
    "tasks/classification.py",
    "tasks/causal_lm.py",
    "models/tabular_mlp.py",
    "adversarial/attack_loss.py",
    "defenses/adversarial/objectives.py",
}


def nodes(kind: type):
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_the_loss_of_a_class_is_taken_by_the_task():
    names = ("cross_entropy", "nll_loss")
    takers = {path for path, call in nodes(ast.Call) if ast.unparse(call.func).rpartition(".")[2] in names}
    assert takers == ABOUT_CLASSES


def test_no_code_asks_which_task_it_is():
    asked = [
        f"{path}:{comparison.lineno}: {ast.unparse(comparison)}"
        for path, comparison in nodes(ast.Compare)
        if not path.startswith("tasks/")
        for side in (comparison.left, *comparison.comparators)
        if any(isinstance(part, ast.Constant) and part.value in TASKS for part in ast.walk(side))
    ]
    assert asked == []


def test_no_template_asks_which_task_it_is():
    for path in PACKAGE.rglob("*.jinja"):
        assert not any(f'== "{task}"' in path.read_text(encoding="utf-8") for task in TASKS), path.name
