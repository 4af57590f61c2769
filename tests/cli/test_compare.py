"""`hf-privacy compare`: defences × seeds trained and audited once, one table, resumable, spread over processes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from scipy import stats

from hf_privacy.cli import main
from hf_privacy.data import MembershipSplit
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.hub import load_report_dict
from hf_privacy.recipe import Recipe

SEEDS, N_REFERENCES = (0, 3), 4
DEFENSES = {
    "none": {},
    "hamp": {"training": {"gamma": 0.5}},
    "cwrf": {"defense": "none", "title": "CWRF", "critical_weight_rewind": {"fraction": 0.05, "num_train_epochs": 2}},
}


@pytest.fixture(scope="session")
def write_comparison_file(write_recipe) -> Callable[..., str]:
    """``write(folder, seeds=[...])`` writes comparison.yaml and the recipe beside it; its path."""

    def write(folder: Path, **changes) -> str:
        write_recipe(folder, training={"num_train_epochs": 6})
        comparison = {
            "recipe": "recipe.yaml",
            "output_dir": str(folder / "out"),
            "seeds": list(SEEDS),
            "overrides": {"audit": {"references": N_REFERENCES, "fprs": [0.1]}},
            "fpr": 0.1,
            "defenses": DEFENSES,
            **changes,
        }
        (folder / "comparison.yaml").write_text(yaml.safe_dump(comparison, sort_keys=False))
        return str(folder / "comparison.yaml")

    return write


class Counted:
    """How often a training began while it counts."""

    def __init__(self) -> None:
        self.n = 0

    def __enter__(self) -> Counted:
        self._patch = pytest.MonkeyPatch()
        train = PrivacyTrainer.train

        def counted(*args, **kwargs):
            self.n += 1
            return train(*args, **kwargs)

        self._patch.setattr(PrivacyTrainer, "train", counted)
        return self

    def __exit__(self, *_) -> None:
        self._patch.undo()


@pytest.fixture(scope="module")
def compared(write_comparison_file, tmp_path_factory) -> tuple[str, Path, int]:
    """A finished comparison: its YAML, its output folder, and how many trainings it took."""
    folder = tmp_path_factory.mktemp("compared")
    path = write_comparison_file(folder)
    with Counted() as trainings:
        assert main(["compare", "--config", path]) == 0
    return path, folder / "out", trainings.n


@pytest.fixture(scope="module")
def table(compared) -> dict:
    return json.loads((compared[1] / "comparison.json").read_text())


def reports(folder: Path, name: str, below: str = "") -> list[dict]:
    return [load_report_dict(folder / name / f"seed_{seed}" / below) for seed in SEEDS]


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every trained model, reference and report: written again, either differs."""
    kept = ("model.safetensors", "privacy_report.json")
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.name in kept or path.match("references/reference_*.safetensors")
    }


def rows_of(folder: Path, *names: str) -> list[dict]:
    """The table's rows, or those of the named defences."""
    rows = json.loads((folder / "comparison.json").read_text())["rows"]
    return [row for row in rows if not names or row["name"] in names]


def only(*names: str) -> dict:
    return {name: DEFENSES[name] for name in names}


# ---- what it does ----


def test_each_seed_is_one_training_and_the_seeds_of_a_defence_share_their_references(compared):
    _, folder, n_trainings = compared
    assert n_trainings == len(DEFENSES) * (len(SEEDS) + N_REFERENCES)
    for name in DEFENSES:
        assert len(list((folder / name / "private" / "references").glob("reference_*.safetensors"))) == N_REFERENCES
        assert len({report["references"]["recipe_hash"] for report in reports(folder, name)}) == 1
        assert not list((folder / name).glob("seed_*/private/references"))


def test_each_defence_has_references_trained_in_its_own_way(compared):
    hashes = {reports(compared[1], name)[0]["references"]["recipe_hash"] for name in DEFENSES}
    assert len(hashes) == len(DEFENSES)


def test_seeds_draw_other_members_of_one_pool_alike_for_every_defence(compared):
    def split(name: str, seed: int) -> MembershipSplit:
        return MembershipSplit.load(compared[1] / name / f"seed_{seed}" / "private" / "split.safetensors")

    first, second = (split("none", seed) for seed in SEEDS)
    assert first.pool.tolist() == second.pool.tolist()
    assert first.population.tolist() == second.population.tolist()
    assert first.members.tolist() != second.members.tolist()
    for name in DEFENSES:
        assert [split(name, seed).hash for seed in SEEDS] == [first.hash, second.hash]


def test_each_target_is_trained_under_its_seed(compared):
    for seed in SEEDS:
        recipe = Recipe.load(compared[1] / "hamp" / f"seed_{seed}" / "private" / "recipe.yaml")
        assert (recipe.training["seed"], recipe.data.member_seed, recipe.training["gamma"]) == (seed, seed, 0.5)


# ---- the table ----


def test_the_tables_figures_are_those_of_the_reports(compared, table):
    for row in table["rows"]:
        found = reports(compared[1], row["name"], "defended_outputs" if row["outputs"] == "defended" else "")
        accuracy = [report["utility"]["nonmember_accuracy"]["value"] for report in found]
        assert row["accuracy"]["values"] == accuracy
        members = [report["utility"]["member_accuracy"]["value"] for report in found]
        assert row["gap"]["values"] == pytest.approx([m - n for m, n in zip(members, accuracy, strict=True)])
        for name, figure in row["attacks"].items():
            attacks = [next(a for a in report["attacks"] if a["name"] == name) for report in found]
            assert figure["auc"]["values"] == [attack["auc"] for attack in attacks]
            assert figure["tpr"]["values"] == [attack["tpr_at_fpr"][0]["tpr"] for attack in attacks]


def test_intervals_are_students_t_over_the_seeds(table):
    for row in table["rows"]:
        figure = row["attacks"]["lira"]["auc"]
        low, high = stats.t.interval(0.95, len(SEEDS) - 1, figure["mean"], stats.sem(figure["values"]))
        # A mean of AUCs cannot lie beyond 0 and 1, and its interval ends there.
        assert (figure["low"], figure["high"]) == pytest.approx((max(low, 0.0), min(high, 1.0)))


def test_differences_are_taken_seed_by_seed(table):
    rows = {(row["name"], row["outputs"]): row for row in table["rows"]}
    base, hamp = rows["none", "plain"], rows["hamp", "plain"]
    expected = [a - b for a, b in zip(hamp["accuracy"]["values"], base["accuracy"]["values"], strict=True)]
    assert hamp["against"]["name"] == "none"
    assert hamp["against"]["accuracy"]["values"] == expected
    assert base["against"] is None
    assert rows["cwrf", "plain"]["host"] == rows["cwrf", "plain"]["against"]["name"] == "none"


def test_hamp_is_attacked_adaptively_by_labels_and_through_its_defended_outputs(compared, table):
    plain, defended = (row for row in table["rows"] if row["name"] == "hamp")
    assert (plain["outputs"], defended["outputs"]) == ("plain", "defended")
    assert defended["accuracy"]["values"] == plain["accuracy"]["values"]  # argmax is kept
    assert defended["attacks"]["lira"]["auc"]["values"] != plain["attacks"]["lira"]["auc"]["values"]
    label_only = [row["attacks"]["label_only"]["auc"]["values"] for row in (plain, defended)]
    assert label_only[0] == label_only[1]  # what hides scores hides no labels
    stores = [compared[1] / "hamp" / "private" / name for name in ("references", "defended_references")]
    assert [len(list(store.glob("reference_*.safetensors"))) for store in stores] == [N_REFERENCES] * 2
    assert not (stores[0] / "models").exists()  # the weights were kept for this alone


def test_markdown_and_plot_are_written_and_the_table_is_printed(compared, cli):
    code, out, _ = cli("compare", "--config", compared[0])
    assert code == 0
    text = (compared[1] / "comparison.md").read_text()
    for words in ("| hamp, defended outputs", "| CWRF", "LiRA AUC", "RMIA TPR@10%", "Train–test gap"):
        assert words in text
        assert words in out
    assert (compared[1] / "comparison.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


# ---- going on ----


def test_a_second_call_trains_and_audits_nothing(compared):
    path, folder, _ = compared
    before, rows = state_of(folder), rows_of(folder)
    with Counted() as trainings:
        assert main(["compare", "--config", path]) == 0
    assert trainings.n == 0
    assert state_of(folder) == before
    assert rows_of(folder) == rows


def test_json_is_the_table_alone_and_what_is_said_goes_beside_it(compared, cli):
    path, folder, _ = compared
    code, out, _ = cli("compare", "--config", path, "--json")
    assert code == 0
    found = json.loads(out)
    assert found.pop("folder") == str(folder)
    assert found == json.loads((folder / "comparison.json").read_text())


def test_other_audit_settings_audit_again_and_train_nothing(compared, write_comparison_file, tmp_path):
    folder = Path(shutil.copytree(compared[1], tmp_path / "out"))
    path = write_comparison_file(tmp_path, defenses=only("none"))
    with Counted() as trainings:
        # More is asked, not something else: a report is not replaced by a weaker one.
        assert main(["compare", "--config", path, "--overrides.audit.fprs", "[0.1, 0.2]", "--fpr", "0.2"]) == 0
    assert trainings.n == 0
    assert [entry["fpr"] for entry in reports(folder, "none")[0]["attacks"][0]["tpr_at_fpr"]] == [0.1, 0.2]
    assert len(rows_of(folder)) == 1  # the table is of what the file names


def test_a_seed_more_trains_its_targets_alone(compared, write_comparison_file, tmp_path):
    folder = Path(shutil.copytree(compared[1], tmp_path / "out"))
    path = write_comparison_file(tmp_path, defenses=only("none"), seeds=[*SEEDS, 8])
    with Counted() as trainings:
        assert main(["compare", "--config", path]) == 0
    assert trainings.n == 1
    assert rows_of(folder)[0]["accuracy"]["values"][:2] == rows_of(compared[1], "none")[0]["accuracy"]["values"]


@pytest.mark.slow
def test_kill_9_between_runs_then_the_same_command_gives_the_same_table(
    preloaded, compared, write_comparison_file, tmp_path
):
    path = write_comparison_file(tmp_path, defenses=only("none", "hamp"))
    folder = tmp_path / "out"
    finished: dict[str, tuple[int, int]] = {}
    for number, done in enumerate((1, 4, 11)):
        process = preloaded.start("compare", "--config", path, folder=tmp_path / f"killed_{number}")
        end = time.monotonic() + 120
        while len(whole(folder)) < done and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -9
        now = state_of(folder)
        assert {name: now[name] for name in finished} == finished
        finished = whole(folder)
        assert len(finished) >= done
    assert main(["compare", "--config", path]) == 0
    now = state_of(folder)
    assert {name: now[name] for name in finished} == finished
    assert rows_of(folder) == rows_of(compared[1], "none", "hamp")


def whole(folder: Path) -> dict[str, tuple[int, int]]:
    """Those files of `state_of` that their run says are done: a kill before it says so has them made again."""

    def is_done(path: Path) -> bool:
        if path.name.startswith("reference_"):
            return True
        record = "training.json" if path.name == "model.safetensors" else "compared.json"
        return any((parent / "private" / record).is_file() for parent in path.parents[:2])

    return {name: state for name, state in state_of(folder).items() if is_done(folder / name)}


@pytest.mark.slow
def test_two_ranks_share_the_work_and_no_training_is_made_twice(preloaded, compared, write_comparison_file, tmp_path):
    path = write_comparison_file(tmp_path, defenses=only("none", "cwrf"))
    ranks = [
        preloaded.start(
            "compare", "--config", path, folder=tmp_path / f"rank_{rank}",
            environment={"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
        )
        for rank in (0, 1)
    ]  # fmt: skip
    assert [process.wait() for process in ranks] == [0, 0], [process.stderr for process in ranks]
    said = [[line for line in process.stdout.splitlines() if " trained in " in line] for process in ranks]
    assert all(said)  # both worked
    targets = [line for lines in said for line in lines if ": trained in" in line]
    references = [
        int(line.split(": ")[1].split()[0]) for lines in said for line in lines if " reference models" in line
    ]
    assert (len(targets), sum(references)) == (2 * len(SEEDS), 2 * N_REFERENCES)
    assert rows_of(tmp_path / "out") == rows_of(compared[1], "none", "cwrf")


# ---- bad input ----


@pytest.fixture
def refused(cli):
    """Run a comparison that must be refused before any training; its one sentence."""

    def run(*arguments: str) -> str:
        with Counted() as trainings:
            code, _, err = cli("compare", *arguments)
        assert code == 2, err
        assert trainings.n == 0
        assert len(err.strip().splitlines()) == 1, err
        return err

    return run


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": [0]}, "seeds is [0]: pass at least 2 different ones, since one gives no interval"),
        ({"seeds": [1, 1]}, "seeds is [1, 1]: pass at least 2 different ones"),
        ({"seeds": ["a", 1]}, "an entry of seeds is 'a': pass a whole number"),
        ({"defences": {}}, "unknown key 'defences' in the comparison: did you mean 'defenses'?"),
        ({"defenses": {}}, "defenses is empty"),
        ({"defenses": {"magic": {}}}, "defence 'magic': unknown key 'magic' in defense"),
        ({"defenses": {"none": {"trainig": {}}}}, "unknown key 'trainig' in defence 'none': did you mean 'training'?"),
        ({"defenses": {"hamp": {"training": {"gama": 1}}}}, "defence 'hamp': unknown key 'gama'"),
        ({"defenses": {"hamp": {"training": {"gamma": 2}}}}, "defence 'hamp': training.gamma is 2.0"),
        ({"defenses": {"none": {"training": {"seed": 1}}}}, "training.seed of defence 'none' is set"),
        ({"defenses": {"a/b": {"defense": "none"}}}, "defence 'a/b' is no name for a folder"),
        (
            {"defenses": {"x": {"defense": "none", "critical_weight_rewind": {"fraction": 1.5}}}},
            "defence 'x': fraction is 1.5",
        ),
        (
            {"defenses": {"x": {"defense": "none", "critical_weight_rewind": {"fracton": 0.5}}}},
            "unknown key 'fracton' in section 'critical_weight_rewind'",
        ),
        ({"recipe": "nowhere.yaml"}, "nowhere.yaml' is no file"),
        ({"recipe": ""}, "recipe is not set"),
        ({"overrides": {"output_dir": "x"}}, "overrides.output_dir is set"),
        ({"overrides": {"audit": {"depth": "quick"}}, "fpr": 0.1}, "audit.depth is 'quick'"),
        ({"overrides": {"data": {"name_or_path": "no/such.parquet"}}, "fpr": 0.1}, "there is no such file or folder"),
        ({"fpr": 0.05}, "fpr is 0.05 and audit.fprs is [0.1]"),
        ({"attacks": ["lirra"]}, "unknown key 'lirra' in attacks: did you mean 'lira'?"),
        ({"workers": 0}, "workers is 0"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_before_any_training(refused, write_comparison_file, tmp_path, changes, sentence):
    path = write_comparison_file(tmp_path, **changes)
    assert sentence in refused("--config", path)
    assert not (tmp_path / "out").exists()


def test_no_comparison_is_refused(refused):
    assert "no comparison: pass --config" in refused()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--defenses.hamp.training.gamma", "0.6"], "defence 'hamp': output_dir "),
        (["--overrides.training.learning_rate", "0.1"], "holds a run of another recipe (different: training)"),
        (["--overrides.audit.reference_seed", "5"], "was made with another recipe_hash"),
    ],
    ids=["one defence", "all defences", "references"],
)
def test_a_changed_yaml_is_refused_and_touches_nothing(refused, compared, words, sentence):
    before = state_of(compared[1])
    assert sentence in refused("--config", compared[0], *words)
    assert state_of(compared[1]) == before
