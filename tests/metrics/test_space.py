"""What is rendered from a module makes a whole Space: a card that the Hub can read, requirements, a working app."""

from __future__ import annotations

import inspect
import re
import runpy
import shutil
import sys
import types

import pytest
from huggingface_hub import SpaceCard

import hf_privacy
from hf_privacy.errors import InputError
from hf_privacy.metrics import AttackMetric, TokenAttackMetric, metric_descriptions, metric_folder, metric_names
from hf_privacy.metrics.cards import space_files
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


@pytest.fixture(scope="module")
def space_folder(tmp_path_factory):
    """Where the files of a module's Space lie: ``space_folder("lira")``."""
    root = tmp_path_factory.mktemp("spaces")

    def written(name):
        folder = root / name
        if not folder.is_dir():
            folder.mkdir()
            for file, content in space_files(metric_folder(name)).items():
                (folder / file).write_bytes(content)
        return folder

    return written


@pytest.fixture
def space_of(space_folder):
    return lambda name: runpy.run_path(str(space_folder(name) / "app.py"))["space"]


def read_card(folder) -> tuple[dict, str]:
    card = SpaceCard.load(folder / "README.md")
    return card.data.to_dict(), card.text


def examples_seen(result) -> list[int]:
    """How many examples a module says it saw, of each kind."""
    return [count for key, count in result.items() if key in ("n_members", "n_nonmembers", "n_examples", "n_canaries")]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_rendered_to_a_space(name, metrics, space_folder):
    assert [path.name for path in metric_folder(name).iterdir() if path.is_file()] == [f"{name}.py"]
    folder = space_folder(name)
    assert {path.name for path in folder.iterdir()} == {"app.py", "README.md", "requirements.txt", f"{name}.py"}
    assert (folder / f"{name}.py").read_bytes() == (metric_folder(name) / f"{name}.py").read_bytes()
    card, text = read_card(folder)
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    assert card["description"] == metric_descriptions()[name]
    assert {card["colorFrom"], card["colorTo"]} <= COLORS
    assert {"evaluate", "metric", "privacy", metrics[name].topic} == set(card["tags"])
    headings = re.findall(r"^## (.*)", text, flags=re.MULTILINE)
    assert headings == ["How to use", "Inputs", "Output", "Limitations", "Citation"]
    assert f"# {card['title']}\n" in text
    assert f'revision="<commit>")' in text  # noqa: F541 - trap 19: the card says to pin the commit
    assert "```bibtex\n@" in text
    assert not re.search(r"\{\w+_\w+\}", text)  # what modules share stands there, not its name
    info = metrics[name].info
    assert all(part in text for part in (info.description, info.inputs_description, info.citation))
    assert all(len(part) > 60 for part in (info.description, info.inputs_description, info.citation))


@pytest.mark.parametrize("name", NAMES)
def test_requirements_are_those_of_a_space_that_stands_alone(name, space_folder):
    lines = (space_folder(name) / "requirements.txt").read_text().split()
    assert [re.split(r"[>=]", line)[0] for line in lines] == ["hf-privacy", "evaluate", "datasets", "gradio"]
    assert lines[0] == f"hf-privacy>={hf_privacy.__version__}"  # what the module imports is this version's
    card, _ = read_card(space_folder(name))
    assert str(card["sdk_version"]).split(".")[0] == "5"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_every_argument_of_the_module(name, metrics):
    module = metrics[name]
    parameters = set(inspect.signature(module._compute).parameters)
    if isinstance(module, AttackMetric):
        parameters = parameters - {"given"} | set(list(inspect.signature(module.attack).parameters)[1:])
        parameters -= {"offsets"} if isinstance(module, TokenAttackMetric) else set()  # made of the rows
    assert len(parameters) >= 2
    for parameter in parameters:
        assert f"**{parameter}**" in module.inputs_description, parameter


@pytest.mark.parametrize("name", NAMES)
def test_code_of_the_card_runs(name, space_folder):
    code = re.search(r"```python\n(.*?)```", read_card(space_folder(name))[1], flags=re.DOTALL).group(1)
    *start, last = code.rstrip().split("\nmetric.compute(")
    scope: dict = {}
    exec(compile("\nmetric.compute(".join(start), f"{name}/README.md", "exec"), scope)
    result = eval(compile("metric.compute(" + last, f"{name}/README.md", "eval"), scope)
    assert min(examples_seen(result)) >= 1


# What a module gives besides an AUC, at its app's own example.
FIGURES = {
    "exposure": ("exposure", "exposure_median", "ceiling"),
    "extraction": ("members", "leakage"),
    "forgetting_quality": ("forgetting_quality", "null", "matched"),
    "forgetting_rate": ("forgetting_rate", "retrained"),
    "klom": ("klom_mean", "null_mean", "matched_mean"),
    "memory_retention_rate": ("memory_retention_rate", "retrained"),
    "tofu_forget_quality": ("statistic", "p_value", "null"),
    "tofu_utility": ("utility", "retain_rouge"),
    "truth_ratio": ("truth_ratio", "median_ratio"),
    "unlearning_degree": ("unlearning_degree", "ceiling"),
    "unlearning_gap": ("avg_gap", "null_avg_gap", "avg_gap_in_noise", "mia"),
    "verbatim_memorization": ("exact_memorization", "extraction_strength"),
}


@pytest.mark.parametrize("name", NAMES)
def test_app_computes_its_own_example_without_gradio(name, space_of):
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
def test_app_launches_a_page_with_the_card_and_the_example(name, gradio, space_folder):
    runpy.run_path(str(space_folder(name) / "app.py"), run_name="__main__")
    [page] = pages
    card, text = read_card(space_folder(name))
    assert page.settings["title"] == card["title"]
    assert page.settings["article"] == text
    assert page.settings["flagging_mode"] == "never"  # nothing that visitors type in is kept
    result = page.settings["fn"](page.settings["inputs"]["value"])
    assert min(examples_seen(result)) >= 1


def test_a_space_is_cloned_into_a_folder_of_another_name(gradio, space_folder, tmp_path):
    folder = shutil.copytree(space_folder("rmia"), tmp_path / "app")
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
def test_page_answers_bad_arguments_with_a_sentence(gradio, space_of, text, message):
    answer = space_of("membership_inference").build().settings["fn"]
    with pytest.raises(gradio.Error, match=re.escape(message)):
        answer(text)


def test_page_builds_with_gradio_itself(space_of):
    pytest.importorskip("gradio")
    assert space_of("lira").build() is not None


def test_a_card_without_header_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("# Title\n")
    with pytest.raises(InputError, match="the card has no title"):
        Space(str(tmp_path / "app.py"), {})


def test_a_file_beside_the_module_is_pushed_as_it_lies(tmp_path):
    folder = shutil.copytree(metric_folder("lira"), tmp_path / "lira")
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / ".DS_Store").write_text("")
    (folder / "requirements.txt").write_text("mine\n")
    files = space_files(folder)
    assert list(files) == ["README.md", "app.py", "lira.py", "requirements.txt"]
    assert files["requirements.txt"] == b"mine\n"


def test_a_folder_with_all_files_is_pushed_whatever_its_module_is(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine.py", "README.md", "app.py", "requirements.txt"):
        (tmp_path / "mine" / name).write_text(name)
    assert space_files(tmp_path / "mine") == {
        name: name.encode() for name in ("README.md", "app.py", "mine.py", "requirements.txt")
    }


STOCK = """\"\"\"Mine: a module of another kind.\"\"\"
import datasets
import evaluate


class Mine(evaluate.Metric):
    def _info(self):
        number = datasets.Value("float64")
        features = datasets.Features({"predictions": number, "references": number})
        return evaluate.MetricInfo(description="", citation="", features=features)
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (STOCK, "the module mine has no example to show"),
        (None, "holds no mine.py"),
        ("x = 1\n", "starts with no title"),
        ('"""Mine."""\n', "starts with no title"),
    ],
    ids=["no example", "no module", "no docstring", "no title"],
)
def test_a_folder_that_is_no_module_is_refused(tmp_path, source, message):
    (tmp_path / "mine").mkdir()
    if source is not None:
        (tmp_path / "mine" / "mine.py").write_text(source)
    with pytest.raises(InputError, match=message):
        space_files(tmp_path / "mine")
