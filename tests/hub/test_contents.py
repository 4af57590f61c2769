"""What is published is an allow-list, cleaned of local folders and searched for tokens and machine paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_privacy.errors import InputError
from hf_privacy.hub.contents import collect_contents
from hf_privacy.hub.leaks import find_machine_path
from hf_privacy.hub.secrets import find_secret

TOKEN = "hf_" + "Abcdefghijklmnop" * 2 + "Qr"

# Report and page are made for each push; here they are what lies in the folder.
MADE = ("privacy_report.json", "privacy_report.html")


def published(folder, **options):
    made = {name: (folder / name).read_bytes() for name in MADE if (folder / name).is_file()}
    return collect_contents(folder, made=made, **options).uploads


@pytest.mark.parametrize(
    "name",
    [
        "training_args.bin",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "pytorch_model.bin",
        "model.pkl",
        "trainer_state.json",
        "split.json",
        "run.log",
        "events.out.tfevents.1",
        "member_0001.png",
        ".env",
    ],
)
def test_trap_5_only_the_allow_list_is_published(make_folder, name):
    folder = make_folder()
    (folder / name).write_bytes(b"x")
    contents = collect_contents(folder)
    assert name not in contents.uploads
    assert name in contents.left_out


def test_folders_below_are_not_published(make_folder):
    folder = make_folder()
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "model.safetensors").write_bytes(b"x")
    contents = collect_contents(folder)
    assert not any("checkpoint" in name for name in contents.uploads)
    assert "checkpoint-10/" in contents.left_out


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "generation_config.json"])
def test_tokenizer_and_model_configuration_are_published(make_folder, name):
    folder = make_folder()
    (folder / name).write_text("{}")
    assert name in published(folder)


def test_an_image_the_card_shows_is_published(make_folder):
    folder = make_folder()
    (folder / "curve.png").write_bytes(b"png")
    assert "curve.png" not in published(folder)
    with (folder / "README.md").open("a") as card:
        card.write("![curve](curve.png)\n")
    assert "curve.png" in published(folder)


def test_a_stray_safetensors_file_is_refused(make_folder):
    folder = make_folder()
    save_file({"signals": np.zeros(2)}, folder / "signals.safetensors")
    with pytest.raises(InputError, match=r"signals\.safetensors"):
        published(folder)


def test_a_local_name_or_path_is_removed_from_the_configuration_and_those_within_it(make_folder, tmp_path):
    folder = make_folder()
    configuration = {"_name_or_path": str(tmp_path / "base"), "text_config": {"_name_or_path": "./base", "size": 3}}
    (folder / "config.json").write_text(json.dumps(configuration))
    assert json.loads(published(folder)["config.json"]) == {"text_config": {"size": 3}}
    assert json.loads((folder / "config.json").read_text()) == configuration  # the folder itself is not changed


def test_a_hub_name_or_path_stays_and_so_do_the_bytes(make_folder):
    folder = make_folder()
    content = b'{"_name_or_path":   "timm/resnet18.a1_in1k"}'
    (folder / "config.json").write_bytes(content)
    assert published(folder)["config.json"] == content


def test_a_local_base_model_of_an_adapter_needs_base_model_id(make_folder, tmp_path):
    folder = make_folder(adapter=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path), "r": 4}))
    with pytest.raises(InputError, match="base_model_id"):
        published(folder)
    uploaded = json.loads(published(folder, base_model_id="ann/base")["adapter_config.json"])
    assert uploaded == {"base_model_name_or_path": "ann/base", "r": 4}


def test_a_relative_folder_that_exists_is_local(make_folder, tmp_path, monkeypatch):
    folder = make_folder(adapter=True)
    (tmp_path / "runs" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "runs/base"}))
    with pytest.raises(InputError, match="local folder"):
        published(folder)


@pytest.mark.parametrize("name", ["README.md", "config.json", "privacy_report.html", "tokenizer.json", "vocab.txt"])
def test_a_token_in_any_text_is_refused_and_not_repeated(make_folder, name):
    folder = make_folder()
    (folder / name).write_text(json.dumps({"note": TOKEN}))
    with pytest.raises(InputError, match="access token") as caught:
        published(folder)
    assert TOKEN not in str(caught.value)


def test_the_token_in_use_is_refused_whatever_its_shape(make_folder):
    folder = make_folder()
    (folder / "README.md").write_text("made with s3cr3t-value")
    with pytest.raises(InputError, match="access token"):
        published(folder, secrets=("s3cr3t-value",))


@pytest.mark.parametrize("name", ["README.md", "tokenizer_config.json", "privacy_report.html"])
@pytest.mark.parametrize(
    "path", ["/home/ann/runs/1", "/Users/ann/model", "/tmp/x/model", "C:\\Users\\ann\\m", "file:///x"]
)
def test_a_machine_path_is_refused_with_the_file(make_folder, name, path):
    folder = make_folder()
    (folder / name).write_text(json.dumps({"output_dir": path}))
    with pytest.raises(InputError, match=f"{name} holds the machine path"):
        published(folder)


def test_an_escaped_path_is_found(make_folder):
    folder = make_folder()
    (folder / "tokenizer_config.json").write_text('{"x": "\\u002fhome\\/ann\\/model"}')
    with pytest.raises(InputError, match="tokenizer_config"):
        published(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "privacy_report.html").write_text("<p>&#47;home&#47;ann&#47;model</p>")
    with pytest.raises(InputError, match=r"privacy_report\.html"):
        published(folder)


def test_the_folder_s_own_path_is_found_wherever_it_lies(make_folder):
    folder = make_folder()
    assert find_machine_path(f"saved in {folder}", folder)
    assert find_machine_path(f"saved in {Path.cwd()}/out", folder)


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/home/ann/x and https://example.org/tmp/x",
        "ratio and/or tmp/x and data/train",
        "data:image/png;base64,iVBORw0KGgo/tmp/AAAA+/home/BBBB/work/CC==",
        "</p><a href='#privacy'>/</a>",
        "from huggingface_hub import hf_hub_download; hf_privacy; hf_",
    ],
)
def test_urls_base64_and_names_are_neither_paths_nor_tokens(make_folder, text):
    assert find_machine_path(text, make_folder()) is None
    assert find_secret(text.encode()) is None


def test_a_vocabulary_may_hold_pieces_of_paths(make_folder):
    folder = make_folder()
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"/home/user": 3}}}))
    assert "tokenizer.json" in published(folder)


def test_metadata_of_the_weights_is_searched(make_folder):
    folder = make_folder()
    save_file({"weight": np.zeros(2)}, folder / "model.safetensors", metadata={"source": "/home/ann/x"})
    with pytest.raises(InputError, match=r"model\.safetensors holds the machine path"):
        published(folder)


def test_without_an_audit_pages_and_plots_of_an_earlier_one_stay_behind(make_folder):
    folder = make_folder()
    (folder / "privacy_report.json").unlink()
    contents = collect_contents(folder)
    assert set(contents.uploads) == {"model.safetensors", "config.json", "preprocessor_config.json", "README.md"}
