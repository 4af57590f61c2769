"""Examinations: `audit` is a loop that knows none of them, and one of a user's own goes the whole way."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from small_training import RESNET

import hf_privacy.auditing
from hf_privacy import InputError, audit
from hf_privacy.auditing import AuditCase, audit_target, train_target
from hf_privacy.auditing.examinations import EXAMINATIONS, examinations_of
from hf_privacy.recipe import Recipe, RunFolder, prepare
from hf_privacy.reports import PrivacyReport

ROOM = Path(hf_privacy.auditing.__file__).parent


class OwnExamination:
    """How many of the members the target is right about."""

    name = "members right"

    def check(self, case: AuditCase) -> None:
        """Refuse few members."""
        if len(case.split.members) < 20:
            raise InputError("members right needs at least 20 members")

    def run(self, case: AuditCase) -> dict:
        """Of the clean query."""
        correct = case.table.target["correct"][0, : case.table.n_pool][case.split.membership]
        case.caveats.append("Seen by an examination from outside.")
        return {"accuracy": correct.mean(), "by_side": {"members": int(correct.sum())}}


class Silent(OwnExamination):
    """Has nothing to say."""

    name = "silent"

    def run(self, case: AuditCase) -> None:
        """None."""


class Squatter(OwnExamination):
    """Takes a name of the package's."""

    name = "membership"


class Demanding(OwnExamination):
    """Is not made without arguments."""

    def __init__(self, threshold: float) -> None:
        """Needs one."""


class Refusing(OwnExamination):
    """Refuses every case."""

    def check(self, case: AuditCase) -> None:
        """One sentence."""
        raise InputError("no case is good enough")


OWN = f"{__name__}:OwnExamination"


def test_audit_is_a_short_loop():
    (function,) = (
        node
        for node in ast.parse((ROOM / "whole_audit.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "audit"
    )
    docstring = function.body[0]
    assert function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1) <= 60


def test_no_examination_is_named_outside_its_own_module_and_the_table():
    """The room's ``__init__`` exports what two of them offer in Python; nothing else imports one."""
    table = ROOM / "examinations" / "__init__.py"
    for path in sorted(ROOM.rglob("*.py")):
        parts = path.relative_to(ROOM).with_suffix("").parts
        if path in (table, ROOM / "__init__.py"):
            continue
        own = f"hf_privacy.auditing.examinations.{parts[1]}" if parts[0] == "examinations" else None
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith("hf_privacy.auditing.examinations."):
                assert own is not None, (path.name, module)
                assert f"{module}.".startswith(f"{own}."), (path.name, module)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "auditing.examinations." not in node.value or own, (path.name, node.value)


def test_every_name_in_the_table_is_that_of_its_examination():
    assert [examination.name for examination in examinations_of([])] == list(EXAMINATIONS)


def test_an_examination_of_a_tests_own_is_a_section_of_the_report(trained, dataset, split, tmp_path):
    settings = {"depth": "quick", "show_progress": False}
    report = audit(trained, dataset, split, output_dir=tmp_path, examinations=[OWN, f"{__name__}:Silent"], **settings)
    accuracy = report.utility["member_accuracy"]["value"]
    assert report.to_dict()["outside"] == {
        "members right": {"accuracy": accuracy, "by_side": {"members": round(accuracy * len(split.members))}}
    }
    assert "Seen by an examination from outside." in report.caveats
    assert "members right" in report.table()
    assert PrivacyReport.load(tmp_path).outside == report.outside
    with pytest.raises(InputError, match="this one has no section members right: audit as deeply"):
        audit(trained, dataset, split, output_dir=tmp_path, **settings)
    audit(trained, dataset, split, output_dir=tmp_path, examinations=[OWN], **settings)
    without = audit(trained, dataset, split, output_dir=tmp_path / "without", **settings)
    assert without.attacks == report.attacks
    assert "outside" not in json.loads((tmp_path / "without" / "privacy_report.json").read_text())


def test_an_examination_of_a_tests_own_is_named_in_a_recipe(tmp_path):
    recipe = Recipe.from_dict(
        {
            "task": "image-classification",
            "output_dir": str(tmp_path / "run"),
            "model": RESNET,
            "data": {"image_size": 8, "max_examples": 120, "near_repeats": False},
            "training": {"max_steps": 2, "save_strategy": "no", "report_to": "none", "use_cpu": True},
            "audit": {"depth": "quick", "blind_baseline": False, "examinations": [OWN]},
        }
    )
    experiment, folder = prepare(recipe), RunFolder(tmp_path / "run")
    train_target(experiment, experiment.trainer(output_dir=folder.path), folder)
    report = audit_target(experiment, folder, show_progress=False)
    assert report.outside["members right"]["accuracy"] == report.utility["member_accuracy"]["value"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["membership"], "examinations holds 'membership': pass module:Name of one of your own"),
        ([3], "examinations holds 3: pass module:Name"),
        (["no_such_module:Thing"], "there is no module 'no_such_module'"),
        ([f"{__name__}:Missing"], "has no 'Missing'"),
        ([f"{__name__}:ROOM"], "is no examination: give it a name, check"),
        ([f"{__name__}:Squatter"], "whose name 'membership' another has"),
        ([OWN, OWN], "whose name 'members right' another has"),
        ([f"{__name__}:Demanding"], "is not made without arguments"),
        ([f"{__name__}:Refusing"], "no case is good enough"),
    ],
)
def test_what_is_no_examination_is_one_sentence_before_any_training(trained, dataset, split, tmp_path, names, message):
    with pytest.raises(InputError, match=message) as raised:
        audit(trained, dataset, split, output_dir=tmp_path / "x", examinations=names, show_progress=False)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("*.safetensors"))
