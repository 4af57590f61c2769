"""Each module's folder is a whole Space: a card that the Hub can read, requirements, and an app that works."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import types

import pytest
import yaml

from hf_privacy.errors import InputError
from hf_privacy.metrics import metric_folder, metric_names
from hf_privacy.metrics.cards import read_card
from hf_privacy.metrics.space import Space

NAMES = metric_names()
# What the Hub allows in a Space's header: https://huggingface.co/docs/hub/spaces-config-reference
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


class Interface:
    """What gradio's is given, kept for the test to look at."""

    def __init__(self, **settings):
        self.settings = settings
        self.launched = False

    def launch(self):
        self.launched = True
        pages.append(self)


pages: list[Interface] = []


@pytest.fixture
def gradio(monkeypatch):
    """A stand-in: gradio is not among the package's requirements."""
    stub = types.ModuleType("gradio")
    stub.Interface = Interface
    stub.Code = lambda **settings: settings
    stub.JSON = lambda **settings: settings
    stub.Error = type("Error", (Exception,), {})
    monkeypatch.setitem(sys.modules, "gradio", stub)
    pages.clear()
    return stub


def space_of(name) -> Space:
    return runpy.run_path(str(metric_folder(name) / "app.py"))["space"]


def examples_seen(result) -> list[int]:
    """How many examples a module says it saw, of each kind."""
    return [count for key, count in result.items() if key in ("n_members", "n_nonmembers", "n_examples")]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_a_space(name):
    folder = metric_folder(name)
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert files == {"app.py", "README.md", "requirements.txt", f"{name}.py"}
    card, text = read_card(folder)
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    assert {card["colorFrom"], card["colorTo"]} <= COLORS
    assert {"evaluate", "metric", "privacy"} <= set(card["tags"])
    headings = re.findall(r"^## (.*)", text, flags=re.MULTILINE)
    assert headings == ["How to use", "Inputs", "Output", "Limitations", "Citation"]
    assert f"# {card['title']}\n" in text
    assert f'revision="<commit>")' in text  # noqa: F541 - trap 19: the card says to pin the commit
    assert "```bibtex\n@" in text


@pytest.mark.parametrize("name", NAMES)
def test_requirements_are_those_of_a_space_that_stands_alone(name):
    lines = (metric_folder(name) / "requirements.txt").read_text().split()
    assert [re.split(r"[>=]", line)[0] for line in lines] == ["hf-privacy", "evaluate", "datasets", "gradio"]
    card, _ = read_card(metric_folder(name))
    assert str(card["sdk_version"]).split(".")[0] == "5"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_every_argument_of_the_module(name, metrics):
    import inspect

    _, text = read_card(metric_folder(name))
    for parameter in inspect.signature(metrics[name]._compute).parameters:
        assert f"**{parameter}**" in text or f"`{parameter}`" in text, parameter
        assert f"{parameter} (" in metrics[name].inputs_description, parameter


@pytest.mark.parametrize("name", NAMES)
def test_code_of_the_card_runs(name):
    code = re.search(r"```python\n(.*?)```", read_card(metric_folder(name))[1], flags=re.DOTALL).group(1)
    *start, last = code.rstrip().split("\nmetric.compute(")
    scope: dict = {}
    exec(compile("\nmetric.compute(".join(start), f"{name}/README.md", "exec"), scope)
    result = eval(compile("metric.compute(" + last, f"{name}/README.md", "eval"), scope)
    assert min(examples_seen(result)) >= 1


# What a module gives besides an AUC, at its app's own example.
FIGURES = {
    "forgetting_quality": ("forgetting_quality", "null", "matched"),
    "forgetting_rate": ("forgetting_rate", "retrained"),
    "klom": ("klom_mean", "null_mean", "matched_mean"),
    "memory_retention_rate": ("memory_retention_rate", "retrained"),
    "unlearning_degree": ("unlearning_degree", "ceiling"),
    "unlearning_gap": ("avg_gap", "null_avg_gap", "avg_gap_in_noise", "mia"),
}


@pytest.mark.parametrize("name", NAMES)
def test_app_computes_its_own_example_without_gradio(name):
    space = space_of(name)
    result = space.compute(space.example)
    if name in FIGURES:
        assert all(result[figure] > 0 for figure in FIGURES[name])
    elif name == "epsilon_lower_bound":
        assert result["epsilon_lower"] > 0
    elif name == "memorization":
        assert result["mean_memorization"] > 0
    elif name == "robust_accuracy":
        assert 0 < result["robust_accuracy"] < result["clean_accuracy"]
    else:
        assert result["auc"] > 0.5
        assert any(key.startswith("tpr_at_fpr_") for key in result)


@pytest.mark.parametrize("name", NAMES)
def test_app_launches_a_page_with_the_card_and_the_example(name, gradio):
    runpy.run_path(str(metric_folder(name) / "app.py"), run_name="__main__")
    [page] = pages
    card, text = read_card(metric_folder(name))
    assert page.settings["title"] == card["title"]
    assert page.settings["article"] == text
    assert page.settings["flagging_mode"] == "never"  # nothing that visitors type in is kept
    result = page.settings["fn"](page.settings["inputs"]["value"])
    assert min(examples_seen(result)) >= 1


def test_a_space_is_cloned_into_a_folder_of_another_name(gradio, tmp_path):
    folder = shutil.copytree(metric_folder("rmia"), tmp_path / "app")
    space = runpy.run_path(str(folder / "app.py"))["space"]
    assert space.build().settings["fn"](space.example)["n_members"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "are no JSON"),
        ("[1]", "lack predictions or references"),
        ("{}", "lack predictions or references"),
        ('{"predictions": [1, 0], "references": [1, 2]}', "references holds 2: pass 1 for a member"),
        ('{"predictions": [1, 0], "references": [1]}', "Mismatch in the number of"),
        ('{"predictions": [1, NaN], "references": [1, 0]}', "NaN or infinite"),
        ('{"predictions": [1, 0], "references": [1, 0], "fpr": 0.1}', "unexpected keyword argument 'fpr'"),
    ],
    ids=str,
)
def test_page_answers_bad_arguments_with_a_sentence(gradio, text, message):
    answer = space_of("membership_inference").build().settings["fn"]
    with pytest.raises(gradio.Error, match=re.escape(message)):
        answer(text)


def test_page_builds_with_gradio_itself():
    pytest.importorskip("gradio")
    assert space_of("lira").build() is not None


def test_a_card_without_header_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("# Title\n")
    with pytest.raises(InputError, match="has no YAML header"):
        read_card(tmp_path)


def test_header_is_what_a_yaml_reader_reads():
    text = (metric_folder("lira") / "README.md").read_text()
    assert read_card(metric_folder("lira"))[0] == yaml.safe_load(text.split("---\n")[1])
