"""A user's own module is found where its name says, or one sentence says why not."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import subprocess
import sys

import pytest

import hf_privacy
from hf_privacy.defenses import PrivacyTrainer, trainer_class
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside, load_outside, source_sha256


@pytest.fixture
def module_of(tmp_path, monkeypatch):
    """Give a function that writes a module into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])

    def write(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return file

    yield write
    for name in [name for name in sys.modules if name.startswith("outside_")]:
        del sys.modules[name]


def test_a_name_with_a_colon_is_somebodys_own():
    assert is_outside("package.module:Name")
    assert not is_outside("relax_loss")


def test_a_module_of_the_working_folder_is_found_as_python_m_finds_it(module_of):
    module_of("outside_losses", "class Mine:\n    pass\n")
    assert load_outside("outside_losses:Mine", argument="defense").__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.losses:Mine", r"there is no module 'nowhere': install it, or start where it lies"),
        ("outside_needs:Mine", r"whose module needs 'not_installed', which is not there"),
        ("outside_fails:Mine", r"importing it fails with ZeroDivisionError: division by zero"),
        ("outside_empty:Mine", r"module 'outside_empty' has no 'Mine'"),
        ("outside_empty:", r"pass module:Name, such as"),
        (":Mine", r"pass module:Name, such as"),
        ("a/b:Mine", r"pass module:Name, such as"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_sentence(name, message, module_of):
    module_of("outside_needs", "import not_installed\n")
    module_of("outside_fails", "1 / 0\n")
    module_of("outside_empty", "")
    with pytest.raises(InputError, match=f"^defense is '{name}'.*{message}") as refused:
        load_outside(name, argument="defense")
    assert "\n" not in str(refused.value)


def test_the_source_is_that_of_the_file_and_a_class_of_a_notebook_has_its_name(module_of):
    file = module_of("outside_source", "class Mine:\n    pass\n")
    mine = load_outside("outside_source:Mine", argument="defense")
    assert source_sha256(mine) == hashlib.sha256(file.read_bytes()).hexdigest()
    typed = {"__name__": "__main__"}
    exec("class Typed:\n    pass\n", typed)
    assert source_sha256(typed["Typed"]) == source_sha256(typed["Typed"]) != source_sha256(mine)


def test_a_trainer_of_ones_own_is_a_defence_and_anything_else_is_refused(module_of):
    module_of("outside_trainer", "from hf_privacy import PrivacyTrainer\nclass Mine(PrivacyTrainer):\n    pass\n")
    assert issubclass(trainer_class("outside_trainer:Mine"), PrivacyTrainer)
    with pytest.raises(InputError, match=r"^defense is .math:pi., which is no PrivacyTrainer"):
        trainer_class("math:pi")


def test_names_and_tables_are_read_without_torch_and_a_star_gives_all():
    code = (
        "import sys, hf_privacy; from hf_privacy.defenses import DEFENSES;"
        "assert set(hf_privacy.__all__) <= set(dir(hf_privacy)) and 'relax_loss' in DEFENSES;"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules);"
        "from hf_privacy import *; from hf_privacy.defenses import *;"
        "assert RelaxLossTrainer.config_class is RelaxLossConfig and callable(audit) and trainer_class;"
        "assert hf_privacy.RelaxLossTrainer is RelaxLossTrainer"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_a_room_exports_is_there():
    rooms = [module.name for module in pkgutil.iter_modules(hf_privacy.__path__, "hf_privacy.") if module.ispkg]
    for room in map(importlib.import_module, rooms):
        assert [name for name in getattr(room, "__all__", []) if not hasattr(room, name)] == []
