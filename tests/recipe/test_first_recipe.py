"""A recipe that is made from data alone loads, has what the data say in it, and is refused in a sentence otherwise."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hf_privacy.cli import main
from hf_privacy.defenses import DEFENSES, trainer_class
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, RunFolder, prepare, read_yaml
from hf_privacy.recipe.commented import commented_recipe
from hf_privacy.recipe.first_recipe import first_recipe
from hf_privacy.recipe.shipped import copies, recipes_folder, shipped_recipe, shipped_recipes
from hf_privacy.tasks import LANGUAGE_MODELS

WORDS = "good bad fine poor great awful film book plot actor music slow fast sharp dull warm cold".split()  # noqa: SIM905


def write_csv(path: Path, columns: dict[str, list]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def sentences(n: int, rng: np.random.Generator) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=rng.integers(5, 12))) for _ in range(n)]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> str:
    """Texts with classes in words, a row number and whose row it is."""
    rng, n = np.random.default_rng(0), 240
    columns = {
        "id": list(range(n)),
        "user_id": [f"u{row % 40}" for row in range(n)],
        "stars": rng.integers(1, 6, size=n).tolist(),
        "text": sentences(n, rng),
        "kind": rng.choice(["praise", "blame", "question"], size=n).tolist(),
    }
    return write_csv(tmp_path_factory.mktemp("reviews") / "my reviews.csv", columns)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> str:
    """Numbers with classes in words, a column with gaps and one of names."""
    rng, n = np.random.default_rng(1), 60
    columns = {
        "height": rng.normal(size=n).round(3).tolist(),
        "weight": rng.normal(size=n).round(3).tolist(),
        "gaps": ["" if row % 7 == 0 else row for row in range(n)],
        "town": rng.choice(["Ulm", "Bonn"], size=n).tolist(),
        "target": rng.choice(["yes", "no"], size=n).tolist(),
    }
    return write_csv(tmp_path_factory.mktemp("numbers") / "numbers.csv", columns)


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("stories") / "stories.jsonl"
    rows = sentences(50, np.random.default_rng(2))
    text = "\n".join(json.dumps({"text": row, "paraphrase": row.upper()}) for row in rows)
    path.write_text(text, encoding="utf-8")
    return str(path)


def values_in(path: Path) -> dict:
    """A recipe's values; a section whose keys are all behind a # holds nothing."""
    return {key: value for key, value in read_yaml(path).items() if value is not None}


# ---- what is found ----


def test_texts_with_classes_in_words(reviews):
    made = first_recipe(reviews, label="kind")
    data = made.values["data"]
    assert made.values["task"] == "text-classification"
    assert (data["input_column"], data["label_column"], data["max_length"]) == ("text", "kind", 32)
    assert (data["member_fraction"], data["population_fraction"]) == (0.5, 0.2)
    assert "user_id names 40 owners of 240 rows" in made.notes["data.group_column"]
    assert "group_column" not in data
    assert made.values["output_dir"] == "runs/my_reviews"
    assert data["dataset_id"] == "my reviews".replace(" ", "_")


def test_numbers_with_gaps_and_names_left_out(numbers):
    made = first_recipe(numbers)
    assert made.values["task"] == "tabular-classification"
    assert made.values["data"]["input_column"] == ["height", "weight"]
    assert made.values["data"]["label_column"] == "target"
    assert "population_fraction" not in made.values["data"]  # of 60 rows none are to spare
    assert "gaps, town" in made.notes["data.input_column"]


def test_texts_without_classes_are_for_a_language_model(stories):
    made = first_recipe(stories)
    assert made.values["task"] == "causal-lm"
    assert made.values["data"]["input_column"] == "text"
    assert made.values["model"]["lora"] == {"r": 8, "lora_alpha": 16}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["question", "answer"], {"prompt_column": "question", "completion_column": "answer"}),
        (["id", "story"], {"input_column": "story"}),
    ],
    ids=str,
)
def test_prompts_and_completions_by_their_names(columns, found, tmp_path):
    rng = np.random.default_rng(3)
    values = {name: list(range(40)) if name == "id" else sentences(40, rng) for name in columns}
    data = first_recipe(write_csv(tmp_path / "rows.csv", values)).values["data"]
    assert {name: data[name] for name in found} == found


def test_sentence_pairs(tmp_path):
    rng = np.random.default_rng(4)
    values = {"premise": sentences(40, rng), "hypothesis": sentences(40, rng), "label": [0, 1] * 20}
    data = first_recipe(write_csv(tmp_path / "pairs.csv", values)).values["data"]
    assert data["input_column"] == ["premise", "hypothesis"]


def test_what_the_user_sets_is_not_looked_for(reviews):
    settings = {"task": "tabular-classification", "data.input_column": "stars", "training.learning_rate": "1e-2"}
    made = first_recipe(reviews, label="kind", settings=settings)
    assert made.values["data"]["input_column"] == "stars"
    assert Recipe.from_dict(made.values).training["learning_rate"] in (0.01, "1e-2")


# ---- every defence ----


@pytest.mark.parametrize("name", [name for name in DEFENSES if set(trainer_class(name).tasks) - set(LANGUAGE_MODELS)])
def test_a_defence_brings_its_own_keys_and_its_trainer_can_be_made(name, numbers, tmp_path):
    settings = {"defense": name, "output_dir": str(tmp_path / "run"), "training.use_cpu": True}
    made = first_recipe(numbers, settings=settings)
    kind = trainer_class(name)
    expected = {key: value for key, value in kind.paper_defaults.items() if key != "target_delta"}
    assert expected.items() <= made.values["training"].items()
    text = commented_recipe(made, path="r.yaml")
    assert all(f"{key}:" in text for key in expected)
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    assert values_in(path) == made.values
    experiment = prepare(Recipe.load(path), with_repeats=False)
    assert type(experiment.trainer()) is kind


@pytest.mark.parametrize("name", [name for name in DEFENSES if set(trainer_class(name).tasks) & set(LANGUAGE_MODELS)])
def test_a_defence_of_a_language_model_has_no_keys_of_an_attack(name, stories):
    made = first_recipe(stories, settings={"defense": name})
    assert not {"epsilon", "step_size", "n_steps"} & set(made.values["training"])
    assert ("paraphrase_column" in made.values["data"]) == (name == "soft")
    assert ("population_fraction" in made.values["data"]) == trainer_class(name).needs_validation


# ---- the file ----


def test_a_commented_recipe_says_all_keys_and_reads_as_what_was_found(reviews, tmp_path):
    made = first_recipe(reviews, label="kind")
    text = commented_recipe(made, path="r.yaml")
    assert max(len(line) for line in text.splitlines() if "reviews.csv" not in line) <= 119
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    assert values_in(path) == made.values
    for line in ("#group_column: null", "#max_tpr_at_fpr: null", "#save_strategy: 'no'", "#repeats: report"):
        assert f"\n  {line}" in text
    for name in ("prompt_column", "image_size", "extraction"):  # of other tasks
        assert f"#{name}:" not in text


def test_a_key_that_is_uncommented_is_a_key(reviews, tmp_path):
    """Each line behind a # is a line of a recipe: its default can be set where it stands."""
    made = first_recipe(reviews, label="kind")
    text = commented_recipe(made, path="r.yaml")
    lines = [line.replace("#", "", 1) if line.lstrip().startswith("#") and line.lstrip()[1:2].isalpha() else line
             for line in text.splitlines()]  # fmt: skip
    path = tmp_path / "r.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert Recipe.load(path).override({"audit.extraction": None}).data == Recipe.from_dict(made.values).data


# ---- refused in a sentence ----


def columns_of(n: int, **values) -> dict[str, list]:
    return {"text": sentences(n, np.random.default_rng(5)), **values}


@pytest.mark.parametrize(
    ("columns", "label", "settings", "message"),
    [
        (columns_of(30, kind=["a", "b"] * 15), "kin", {}, "--label is 'kin' .*did you mean 'kind'"),
        (columns_of(30, code=list(range(30))), "code", {}, "--label is 'code', which has 30 different values in 30"),
        (columns_of(30, kind=["a"] * 30), "kind", {}, "--label is 'kind', which has one value in all rows"),
        (columns_of(30, kind=[0.5, 1.5] * 15), "kind", {}, "--label 'kind' holds float64 values"),
        (columns_of(30, kind=["a", ""] * 15), "kind", {}, "--label 'kind' has 15 missing labels"),
        (columns_of(5, kind=list("abaab")), "kind", {}, "has 5 rows: fewer than 20"),
        ({"x": [1.5, 2.5] * 15, "kind": ["a", "b"] * 15}, None, {}, "pass --label, such as 'x' or 'kind'"),
        ({"kind": ["a", "b"] * 15}, "kind", {}, "no column beside the label holds images, texts or numbers"),
        ({"text": ["a b c", ""] * 15, "kind": ["a", "b"] * 15}, "kind", {}, "'text' has 15 rows without a text"),
        (columns_of(30, kind=["a", "b"] * 15), "kind", {"task": "regression"}, "task is 'regression'"),
        (columns_of(30, kind=["a", "b"] * 15), "kind", {"data.labl": "x"}, "unknown key 'labl' in section 'data'"),
        (columns_of(30, kind=["a", "b"] * 15), "kind", {"defense": "dpp"}, "unknown key 'dpp' in defense"),
        (columns_of(30, kind=["a", "b"] * 15), "kind", {"defense": "goldfish"}, "defense 'goldfish' is for causal-lm"),
        (columns_of(30), None, {"defense": "soft"}, "trains on paraphrases of its rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_recipe_can_be_made_of(columns, label, settings, message, tmp_path):
    path = write_csv(tmp_path / "rows.csv", columns)
    with pytest.raises(InputError, match=message):
        first_recipe(path, label=label, settings=settings)


def test_an_empty_file_and_one_that_is_not_there(tmp_path):
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "header.csv").write_text("text,label\n", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        first_recipe(str(tmp_path / "empty.csv"))
    with pytest.raises(InputError, match="has no rows"):
        first_recipe(str(tmp_path / "header.csv"))
    with pytest.raises(InputError, match="there is no such file"):
        first_recipe("./gone.csv")


# ---- the commands ----


def said(capsys) -> tuple[str, str]:
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_init_writes_what_loads_and_does_not_write_over_it(numbers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--data", numbers, "--defense", "relax_loss", "--output", "a/r.yaml"]) == 0
    assert "next: hf-privacy train --config a/r.yaml" in said(capsys)[0]
    recipe = Recipe.load("a/r.yaml")
    assert (recipe.defense, recipe.data.label_column, recipe.training["alpha"]) == ("relax_loss", "target", 1.0)
    before = Path("a/r.yaml").read_bytes()
    assert main(["init", "--data", numbers, "--output", "a/r.yaml"]) == 2
    assert "is there already" in said(capsys)[1]
    assert Path("a/r.yaml").read_bytes() == before
    assert main(["init", "--data", numbers, "--output", "a/r.yaml", "--force"]) == 0
    assert Recipe.load("a/r.yaml").defense == "none"


def test_a_refused_init_leaves_nothing_behind(numbers, tmp_path, capsys):
    target = tmp_path / "r.yaml"
    assert main(["init", "--data", numbers, "--label", "colour", "--output", str(target)]) == 2
    (line,) = said(capsys)[1].splitlines()
    assert "--label is 'colour'" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data is missing"),
        (["--from", "sst2_lora", "--data", "digits"], "--from copies a recipe as it is"),
        (["--from", "sst2_lora", "--task", "causal-lm"], "--task is set: set it in the copy"),
        (["--from", "sst2_lara"], "did you mean 'sst2_lora'?"),
        (["--from", "cifar10"], "did you mean|there are several"),
    ],
    ids=str,
)
def test_words_that_do_not_go_together(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main(["init", *arguments])
    if arguments == ["--from", "cifar10"]:  # of a task's own folder, so it is that one
        assert code == 0
        assert Recipe.load("cifar10.yaml").task == "image-classification"
        return
    assert code == 2
    assert message in said(capsys)[1]


def test_train_without_a_recipe_keeps_the_one_it_ran(numbers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--data", numbers, "--label", "target", "--output_dir", "run"]
    quick = ["--training.num_train_epochs", "1", "--training.use_cpu", "true"]
    assert main([*arguments, *quick]) == 0
    assert "this one is in" in said(capsys)[0]
    folder = RunFolder(Path("run"))
    assert folder.is_trained
    assert Recipe.load("run/recipe.yaml") == Recipe.load(folder.recipe_file)
    assert main([*arguments, *quick]) == 0
    assert "already" in said(capsys)[0]
    assert main(["train", "--config", "run/recipe.yaml"]) == 0  # the same run
    assert main(["train", "--config", "run/recipe.yaml", "--data", numbers]) == 2
    assert "--config and --data are both given" in said(capsys)[1]


def test_train_with_a_model_and_no_data_says_which_key(capsys):
    assert main(["train", "--config", "r.yaml", "--model", "x"]) == 2
    assert "set --model.name_or_path" in said(capsys)[1]


# ---- shipped recipes ----


def test_every_shipped_recipe_is_listed_with_a_line(capsys):
    assert main(["init", "--from"]) == 0
    lines = said(capsys)[0].splitlines()
    assert all(len(line) <= 119 for line in lines)
    for name in shipped_recipes():
        assert any(line.startswith(f"{name} (") and len(line) > len(name) + 20 for line in lines)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_copy_reads_as_the_original(name, tmp_path):
    from hf_privacy.comparison.plan import Comparison

    source = shipped_recipe(name)
    for path, text in copies(source, tmp_path / source.name):
        path.write_text(text, encoding="utf-8")
    copied = tmp_path / source.name
    if "task" in read_yaml(source):
        assert Recipe.load(copied) == Recipe.load(source)
    else:
        assert Comparison.load(copied) == Comparison.load(source)


def test_recipes_are_found_inside_an_installed_package(tmp_path, monkeypatch):
    from hf_privacy.recipe import shipped

    package = tmp_path / "site-packages" / "hf_privacy"
    (package / "shipped_recipes" / "text_classification").mkdir(parents=True)
    original = (recipes_folder() / "text_classification" / "sst2_lora.yaml").read_bytes()
    (package / "shipped_recipes" / "text_classification" / "sst2_lora.yaml").write_bytes(original)
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    assert list(shipped_recipes()) == ["text_classification/sst2_lora"]
    assert shipped_recipe("sst2_lora").read_bytes() == original
    (package / "shipped_recipes" / "text_classification" / "sst2_lora.yaml").unlink()
    (package / "shipped_recipes" / "text_classification").rmdir()
    (package / "shipped_recipes").rmdir()
    with pytest.raises(InputError, match="not installed with the package"):
        shipped_recipes()
