"""Code that comes with a model or dataset is never run, whatever is answered to the libraries' question."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch

import hf_privacy
from hf_privacy.data import load_dataset_from
from hf_privacy.errors import InputError
from hf_privacy.models import load_image_processor, load_model, load_saved_model, load_tokenizer

PACKAGE = Path(hf_privacy.__file__).parent
# Each of these asks `trust_remote_code` on the terminal where it is not told, and takes a piped "y" for consent.
ASKING = {"from_pretrained", "from_config"}
# peft reads JSON and safetensors; it knows no code of a repository's own.
PEFT = {"PeftConfig", "PeftModel"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model folder with code of its own, a terminal on which "y" is typed, and a file that the code would write."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    model = tmp_path / "model"
    model.mkdir()
    (model / "own_code.py").write_text(code)
    auto_map = {
        name: f"own_code.{name}"
        for name in ("AutoConfig", "AutoModelForImageClassification", "AutoModelForSequenceClassification")
    }
    (model / "config.json").write_text(json.dumps({"model_type": "own_kind", "auto_map": auto_map}))
    tokenizer = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own_code.OwnTokenizer", None]}}
    (model / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    processor = {"image_processor_type": "OwnProcessor", "auto_map": {"AutoImageProcessor": "own_code.OwnProcessor"}}
    (model / "preprocessor_config.json").write_text(json.dumps(processor))
    (model / "model.safetensors").write_bytes(b"")
    return model


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: load_model(folder, task="image-classification", num_labels=2),
        lambda folder: load_model(folder, task="text-classification", num_labels=2, from_scratch=True),
        load_saved_model,
        load_tokenizer,
        load_image_processor,
    ],
    ids=["model", "architecture", "saved model", "tokenizer", "image processor"],
)
def test_code_in_a_model_s_folder_is_refused_in_one_sentence_and_not_run(folder, load):
    with pytest.raises(InputError, match="Python code that comes with it, which is never run"):
        load(folder)
    assert not (folder.parent / "ran").exists()


def test_an_adapter_s_base_with_code_is_refused_and_not_run(folder, tmp_path):
    from safetensors.torch import save_file

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    configuration = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "task_type": "SEQ_CLS"}
    (adapter / "adapter_config.json").write_text(json.dumps(configuration))
    save_file({"base_model.model.x": torch.ones(1)}, adapter / "adapter_model.safetensors")
    with pytest.raises(InputError, match="never run"):
        load_saved_model(adapter)
    assert not (tmp_path / "ran").exists()


def test_a_dataset_s_loading_script_is_refused_and_not_run(folder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "data.py").write_text((folder / "own_code.py").read_text())
    with pytest.raises(InputError, match="Python code that is never run"):
        load_dataset_from(str(data))
    assert not (tmp_path / "ran").exists()


def calls_in_the_package():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_every_call_that_could_run_foreign_code_says_that_it_must_not():
    seen = 0
    for path, call in calls_in_the_package():
        owner = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        if call.func.attr not in ASKING or owner in PEFT:
            continue
        seen += 1
        said = [word.value for word in call.keywords if word.arg == "trust_remote_code"]
        assert [getattr(value, "value", None) for value in said] == [False], f"{path}:{call.lineno}"
    assert seen >= 5


def test_evaluate_modules_are_loaded_from_the_package_alone():
    places = {
        path
        for path, call in calls_in_the_package()
        if call.func.attr == "load" and getattr(call.func.value, "id", "") == "evaluate"
    }
    assert places == {"metrics/__init__.py", "metrics/space.py"}
