"""Saving, loading and publishing a report."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_privacy.errors import InputError
from hf_privacy.hub import GateError, load_report_dict
from hf_privacy.reports import CardData, PrivacyReport, plan_push, write_card
from hf_privacy.reports import privacy_report as report_module
from hf_privacy.reports.files import LOCK, write_together
from hf_privacy.reports.sections import attack_plots

FILES = {"privacy_report.json", "privacy_report.html", "privacy_roc.png", "privacy_scores.png"}


@pytest.fixture
def plain_plots(monkeypatch):
    """Stand-ins for the plots, where a test is about files."""
    monkeypatch.setattr(attack_plots, "png_bytes", lambda figure: b"\x89PNG")
    monkeypatch.setattr(attack_plots, "roc_figure", lambda *_, **__: None)
    monkeypatch.setattr(attack_plots, "scores_figure", lambda *_, **__: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def test_save_writes_four_files_and_load_gives_the_report_back(report, tmp_path):
    assert report.save(tmp_path / "new" / "folder") == tmp_path / "new" / "folder" / "privacy_report.json"
    assert set(contents(tmp_path / "new" / "folder")) == FILES
    assert PrivacyReport.load(tmp_path / "new" / "folder") == report
    for name in ("privacy_roc.png", "privacy_scores.png"):
        with Image.open(tmp_path / "new" / "folder" / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300


def test_the_dictionary_goes_round(report, report_dict):
    assert report.to_dict() == report_dict
    assert PrivacyReport.from_dict(report.to_dict()) == report


def test_the_dictionary_is_a_copy(report):
    report.to_dict()["attacks"][0]["auc"] = 0.0
    assert report.attacks[0]["auc"] > 0.4


@pytest.mark.usefixtures("plain_plots")
def test_the_json_file_is_what_the_hub_room_reads(report, tmp_path):
    report.save(tmp_path)
    assert load_report_dict(tmp_path) == report.to_dict()


def test_saving_twice_gives_the_same_bytes(report, tmp_path):
    report.save(tmp_path / "a")
    report.save(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_numpy_values_become_plain_ones(report):
    report.attacks[0]["auc"] = np.float64(report.attacks[0]["auc"])
    report.split["n_members"] = np.int64(200)
    report.attacks[0]["queries"] = ("identity",)
    plain = report.to_dict()
    assert type(plain["attacks"][0]["auc"]) is float
    assert type(plain["split"]["n_members"]) is int
    assert plain["attacks"][0]["queries"] == ["identity"]


def test_a_value_that_is_not_plain_is_named(report):
    report.training["loader"] = Path("somewhere")
    with pytest.raises(InputError, match="a value of the report is a PosixPath"):
        report.to_dict()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda report: report.model.pop("architecture"), "architecture"),
        (lambda report: report.attacks[0].update(auc=1.5), "auc"),
        (lambda report: report.attacks[0].update(auc=float("nan")), "nan"),
        (lambda report: report.dataset.update(ids=[1, 2, 3]), "ids"),
        (lambda report: setattr(report, "depth", "deep"), "depth"),
        (lambda report: report.curves.update(other=report.curves["loss"]), "other"),
    ],
)
def test_a_report_that_breaks_the_schema_is_not_saved(report, tmp_path, change, said):
    change(report)
    with pytest.raises(InputError, match=said):
        report.save(tmp_path)
    assert not any(tmp_path.iterdir())


def test_from_dict_refuses_an_unknown_key_with_our_own_error(report_dict):
    with pytest.raises(InputError, match="examples"):
        PrivacyReport.from_dict({**report_dict, "examples": ["the text of an example"]})


def test_load_says_what_is_wrong_with_a_file(report, tmp_path):
    with pytest.raises(InputError, match=r"there is no privacy_report\.json"):
        PrivacyReport.load(tmp_path)
    (tmp_path / "privacy_report.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        PrivacyReport.load(tmp_path)
    (tmp_path / "privacy_report.json").write_text(json.dumps({**report.to_dict(), "depth": 3}))
    with pytest.raises(InputError, match="depth"):
        PrivacyReport.load(tmp_path)


@pytest.mark.parametrize(
    "path",
    ["/home/ada/runs/1", "/models/bert/base", "C:\\Users\\ada\\run", "~/runs", "file:///x", "see /tmp/cache now"],
)
def test_an_absolute_path_never_gets_into_a_report(report, tmp_path, path):
    report.training["output_dir"] = path
    with pytest.raises(InputError, match=r"report\.training\.output_dir holds the absolute path"):
        report.save(tmp_path)


@pytest.mark.parametrize(
    "text", ["in/out", "2026/11/23", "https://example.org/a/b", "timm/resnet18", "1 / 2", "a ~ b"]
)
def test_a_slash_alone_is_no_path(report, text):
    report.training["note"] = text
    assert report.to_dict()["training"]["note"] == text


def test_a_token_never_gets_into_a_report_nor_into_the_message(report):
    report.training["hub_token"] = "hf_" + "a1B2" * 8
    with pytest.raises(InputError, match=r"training\.hub_token holds an access token of the Hub") as caught:
        report.to_dict()
    assert "a1B2" not in str(caught.value)


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize("fails_at", range(1, 5))
def test_a_rename_that_fails_midway_leaves_the_old_report_whole(report, quick_report, tmp_path, monkeypatch, fails_at):
    report.save(tmp_path)
    before = contents(tmp_path)
    calls = []

    def failing_replace(source, target, replace=os.replace):
        calls.append(target)
        if len(calls) == fails_at:
            raise OSError("no space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing_replace)
    with pytest.raises(OSError, match="no space"):
        quick_report.save(tmp_path, replace_report=True)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("plain_plots")
def test_a_plot_that_fails_leaves_the_old_report_whole(report, quick_report, tmp_path, monkeypatch):
    report.save(tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(attack_plots, "scores_figure", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        quick_report.save(tmp_path, replace_report=True)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("plain_plots")
def test_the_json_file_is_renamed_last(report, tmp_path, monkeypatch):
    targets = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (targets.append(target.name), replace(source, target)))
    report.save(tmp_path)
    assert targets[-1] == "privacy_report.json"
    assert set(targets) == FILES


@pytest.mark.usefixtures("plain_plots")
def test_what_a_killed_process_left_is_swept_by_the_next_save(report, tmp_path):
    (tmp_path / f".privacy_report.json.{'0' * 32}.tmp").write_text("half a re")
    report.save(tmp_path)
    assert set(contents(tmp_path)) == FILES


@pytest.mark.usefixtures("plain_plots")
def test_a_file_in_the_folders_place_is_refused(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="which is a file"):
        report.save(tmp_path / "file")


@pytest.mark.usefixtures("plain_plots")
def test_push_writes_report_and_card_and_hands_the_folder_over(folder_report, model_folder, monkeypatch):
    pushed = {}
    monkeypatch.setattr(
        report_module, "push_folder", lambda folder, repo_id, **kwargs: pushed.update(kwargs, repo_id=repo_id)
    )
    folder_report.push_to_hub("ada/digits", folder=model_folder, token="t", create_pr=True, max_auc=0.9)
    assert pushed.pop("card_data").library_name == "timm"
    assert pushed == {"repo_id": "ada/digits", "token": "t", "private": True, "create_pr": True, "max_auc": 0.9}
    assert FILES | {"README.md"} <= set(contents(model_folder))
    card = (model_folder / "README.md").read_text()
    assert 'from_pretrained("ada/digits")' in card
    assert "library_name: timm" in card


@pytest.mark.usefixtures("plain_plots")
def test_push_does_not_change_the_card_data_it_is_given(folder_report, model_folder, monkeypatch):
    monkeypatch.setattr(report_module, "push_folder", lambda *_, **__: None)
    data = CardData(pipeline_tag="image-classification")
    folder_report.push_to_hub("ada/digits", folder=model_folder, card_data=data)
    assert data.repo_id is None


def test_a_report_for_other_weights_is_not_even_written(report, model_folder):
    before = contents(model_folder)
    with pytest.raises(GateError, match="the report is for other weights"):
        report.push_to_hub("ada/digits", folder=model_folder)
    assert contents(model_folder) == before


def test_what_is_saved_passes_the_gate_and_every_file_of_it_is_in_the_commit(folder_report, model_folder):
    folder_report.save(model_folder)
    write_card(model_folder, folder_report, CardData(repo_id="ada/digits"))
    plan = plan_push(model_folder, "ada/digits", max_auc=0.99)
    assert FILES | {"README.md", "config.json", "model.safetensors"} == {name for name, _ in plan.files}


def test_two_writers_in_one_folder_leave_the_files_of_one_of_them(tmp_path):
    sets = [{f"{name}.txt": bytes([65 + writer]) * 2_000 for name in "abcd"} for writer in range(2)]
    start = threading.Barrier(2)
    failures = []

    def write(files: dict[str, bytes]) -> None:
        try:
            start.wait()
            write_together(tmp_path, files)
        except Exception as error:
            failures.append(error)

    for _ in range(20):
        writers = [threading.Thread(target=write, args=(files,)) for files in sets]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert not failures
        assert contents(tmp_path) in sets
