"""An audit from a table of scores: the figures of the same model opened, or one clear sentence."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, parquet

from hf_privacy.auditing import audit, audit_scores
from hf_privacy.auditing.score_table.columns import class_numbers, score_columns
from hf_privacy.auditing.score_table.signals import class_signals, true_class_signals
from hf_privacy.auditing.score_table.values import log_scores, true_class
from hf_privacy.data import MembershipSplit
from hf_privacy.errors import InputError
from hf_privacy.hub import REPORT_NAME, GateError, check_gate, load_report_dict
from hf_privacy.signals import signals_from_logits

OF_CLASSES = ["loss", "confidence", "entropy", "modified_entropy", "attack_p"]
N = 80


def scores_of(n: int = N, *, seed: int = 0) -> dict[str, np.ndarray]:
    """A table of three classes that leaks: members' true class is likelier. Members are every second record."""
    rng = np.random.default_rng(seed)
    labels, member = rng.integers(3, size=n), np.arange(n) % 2 == 0
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), labels] += np.where(member, 3.0, 1.0)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    classes = {f"log_probability_{name}": logs[:, at] for at, name in enumerate(("cat", "dog", "fox"))}
    named = np.array(["cat", "dog", "fox"])[labels]
    ids = np.array([f"patient-{7919 * at}" for at in range(n)])
    return {**classes, "label": named, "member": member, "id": ids}


def write(folder, columns, name="scores.parquet"):
    path = folder / name
    parquet.write_table(pa.table({key: pa.array(value) for key, value in columns.items()}), path)
    return path


def audited(folder, scores, **arguments):
    overrides = {"output_dir": str(folder / "out"), "audit.fprs": "[0.1]", **arguments.pop("overrides", {})}
    return audit_scores(write(folder, scores), overrides=overrides, **arguments)[0]


def figures(report):
    return {attack["name"]: (attack["auc"], attack["tpr_at_fpr"][0]["tpr"]) for attack in report.attacks}


@pytest.fixture(autouse=True)
def _quick(request, monkeypatch):
    """Fewer permutations; and no plots and page, but where a test looks at them."""
    monkeypatch.setattr("hf_privacy.auditing.evidence.N_PERMUTATIONS", 200)
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("hf_privacy.reports.privacy_report.rendered", _json_alone)


def _json_alone(report):
    return {REPORT_NAME: json.dumps(report.to_dict()).encode()}


@pytest.fixture
def drawn():
    """Plots and page are drawn."""


# ---- the same figures as of the model ----


@pytest.fixture(scope="module")
def opened(trained, dataset, split, tmp_path_factory):
    """The audit of a trained model, and a table of its log-probabilities with the file of its split."""
    folder = tmp_path_factory.mktemp("opened")
    settings = {"depth": "quick", "fprs": [0.1], "blind_baseline": False}
    report = audit(trained.model, dataset, split, output_dir=folder / "out", show_progress=False, **settings)
    with torch.no_grad():
        logits = trained.model(features=dataset.column("features")).logits.double()
    columns = {f"log_probability_{at}": values for at, values in enumerate(logits.log_softmax(dim=1).T.numpy())}
    return report, {**columns, "label": dataset.row_classes}, split.save(folder / "split.safetensors")


def test_a_table_gives_the_figures_of_the_model_opened(opened, tmp_path):
    report, columns, split_file = opened
    made = audited(tmp_path, columns, overrides={"data.split_file": str(split_file)})
    assert [attack["name"] for attack in made.attacks] == OF_CLASSES
    for attack, other in zip(made.attacks, report.attacks, strict=True):
        for name in ("auc", "auc_low", "auc_high", "balanced_accuracy", "advantage"):
            assert attack[name] == pytest.approx(other[name], abs=1e-9)
        assert attack["tpr_at_fpr"] == [pytest.approx(entry) for entry in other["tpr_at_fpr"]]
    for name, value in report.utility.items():
        assert made.utility[name] == pytest.approx(value, abs=1e-6)
    assert made.evidence["strongest"]["attack"] == report.evidence["strongest"]["attack"]
    assert made.split["n_population"] == report.split["n_population"] > 0
    assert made.verdict().sentence == report.verdict().sentence
    assert made.verdict().level == report.verdict().level


def test_ids_are_the_row_numbers_of_a_split_file(opened, tmp_path):
    _, columns, split_file = opened
    n = len(columns["label"])
    order = np.random.default_rng(1).permutation(n)[: n - 3]  # in another order, and three records not scored
    shuffled = {"id": order, **{name: np.asarray(values)[order] for name, values in columns.items()}}
    made = audited(tmp_path, shuffled, overrides={"data.split_file": str(split_file)})
    there = MembershipSplit.load(split_file)
    assert made.split["n_members"] == np.isin(there.members, order).sum()
    del shuffled["id"]
    with pytest.raises(InputError, match="the split is of 140 rows and the table has 137"):
        audited(tmp_path, shuffled, overrides={"data.split_file": str(split_file)})


@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4])
def test_signals_are_those_of_logits(scale):
    rng = np.random.default_rng(0)
    logits, labels = scale * rng.normal(size=(40, 5)), rng.integers(5, size=40)
    made = class_signals(logits, labels)
    for name, values in signals_from_logits(torch.tensor(logits), torch.tensor(labels)).items():
        np.testing.assert_allclose(made[name], values.numpy(), rtol=1e-9, atol=1e-300, err_msg=name)


@pytest.mark.parametrize("kind", ["probability", "log_probability", "loss"])
def test_the_true_class_alone_gives_its_signals(kind):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 5)), rng.integers(5, size=40)
    whole = class_signals(logits, labels)
    values = {"probability": whole["probability"], "log_probability": -whole["loss"], "loss": whole["loss"]}[kind]
    log_p, log_others, ended = true_class(values, kind)
    for name, found in true_class_signals(log_p, log_others).items():
        np.testing.assert_allclose(found, whole[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert not ended.any()


def test_log_probabilities_are_told_apart_where_probabilities_round_to_one():
    tiny = np.array([1e-20, 1e-25, 1e-30])
    log_p, log_others, ended = true_class(-tiny, "log_probability")
    made = true_class_signals(log_p, log_others)
    assert (made["probability"] == 1.0).all()
    np.testing.assert_allclose(made["loss"], tiny)
    np.testing.assert_allclose(made["phi"], -np.log(tiny))
    assert not ended.any()
    scores, _ = log_scores(np.stack([-tiny, np.log(tiny)], axis=1), "log_probability")
    np.testing.assert_allclose(class_signals(scores, np.zeros(3, dtype=int))["loss"], tiny)


def test_a_probability_of_exactly_0_or_1_stays_outside_the_others_and_finite(tmp_path):
    values = np.array([0.0, 1e-6, 0.5, 1 - 1e-6, 1.0])
    log_p, log_others, ended = true_class(values, "probability")
    assert ended.tolist() == [True, False, False, False, True]
    phi = log_p - log_others
    assert np.isfinite(phi).all()
    assert (np.diff(phi) > 0).all()
    columns = scores_of()
    p = np.exp(columns["log_probability_cat"])
    p[:3] = [0.0, 1.0, 1.0]
    report = audited(tmp_path, {"probability": p, "member": columns["member"]})
    assert any(caveat.startswith("3 of 80 records have a probability of exactly 0 or 1") for caveat in report.caveats)


# ---- forms of the table, and who is a member ----


def test_every_form_of_the_same_scores_gives_the_same_figures(tmp_path):
    columns = scores_of()
    logs = np.stack([columns[f"log_probability_{name}"] for name in ("cat", "dog", "fox")], axis=1)
    rest = {"label": columns["label"], "member": columns["member"].astype(int)}
    numbered = {**rest, "label": [["cat", "dog", "fox"].index(name) for name in columns["label"]]}
    expected = figures(audited(tmp_path, columns))
    forms = [
        ({**rest, **{f"prob_{name}": np.exp(logs[:, at]) for at, name in enumerate(("cat", "dog", "fox"))}}, {}),
        ({**rest, **{f"logit_{name}": logs[:, at] + 7.0 for at, name in enumerate(("cat", "dog", "fox"))}}, {}),
        ({**numbered, "log_probabilities": logs.tolist()}, {}),
        ({**numbered, "a": logs[:, 0], "b": logs[:, 1], "c": logs[:, 2]},
         {"columns": ["a", "b", "c"], "kind": "log_probability"}),
    ]  # fmt: skip
    for columns, arguments in forms:
        for name, values in figures(audited(tmp_path, columns, **arguments)).items():
            assert values == pytest.approx(expected[name], abs=1e-9)


@pytest.mark.parametrize("name", ["scores.csv", "scores.tsv", "scores.json", "scores.jsonl"])
def test_every_kind_of_file_is_read_exactly(name, tmp_path):
    columns = scores_of()
    path, table = tmp_path / name, pa.table({key: pa.array(value) for key, value in columns.items()})
    if name.endswith("sv"):
        csv.write_csv(table, path, csv.WriteOptions(delimiter="\t" if name.endswith("tsv") else ","))
    elif name.endswith("jsonl"):
        path.write_text("".join(json.dumps(record) + "\n" for record in table.to_pylist()))
    else:
        path.write_text(json.dumps(table.to_pylist()))
    made, _ = audit_scores(path, overrides={"output_dir": str(tmp_path / "out")})
    again = audited(tmp_path, columns, overrides={"output_dir": str(tmp_path / "again")})
    assert (made.split["hash"], made.dataset["fingerprint"]) == (again.split["hash"], again.dataset["fingerprint"])


def test_two_tables_and_a_named_column_say_the_same(tmp_path):
    columns = scores_of()
    expected = figures(audited(tmp_path, columns))
    member = columns.pop("member")
    sides = [
        write(tmp_path, {name: values[side] for name, values in columns.items()}, f"{side[0]}.parquet")
        for side in (member, ~member)
    ]
    overrides = {"output_dir": str(tmp_path / "two"), "audit.fprs": "[0.1]"}
    made, recipe = audit_scores(members=sides[0], nonmembers=sides[1], overrides=overrides)
    for name, values in figures(made).items():
        assert values == pytest.approx(expected[name])
    assert recipe.output_dir == str(tmp_path / "two")
    named = audited(tmp_path, {**columns, "seen": member}, overrides={"data.member_column": "seen"})
    assert figures(named) == expected


def test_the_true_class_alone_makes_the_attacks_that_it_allows(tmp_path):
    columns = scores_of()
    loss = np.random.default_rng(0).exponential(size=N)
    report = audited(tmp_path, {"loss": loss, "member": columns["member"]})
    assert list(figures(report)) == ["loss", "attack_p"]
    assert set(report.utility) == {"member_loss", "nonmember_loss"}
    assert "n_classes" not in report.dataset
    assert report.class_slices is None
    labelled = audited(tmp_path, {"loss": loss, "member": columns["member"], "label": columns["label"]})
    assert list(figures(labelled)) == ["loss", "confidence", "attack_p"]
    assert labelled.dataset["n_classes"] == 3


def test_groups_are_the_unit_where_a_column_names_them(tmp_path):
    columns = {**scores_of(), "person": [f"p{at % 40}" for at in range(N)]}
    report = audited(tmp_path, columns, overrides={"data.group_column": "person"})
    assert report.split["unit"] == "person"
    assert report.split["n_groups"] == {"members": 20, "non_members": 20, "population": 0}
    assert "by_group" in report.attacks[0]


# ---- reference models ----


def with_references(columns, n_references=4, *, seed=3, never=False):
    rng = np.random.default_rng(seed)
    half = rng.random((n_references // 2, N)) < 0.5
    held = np.concatenate([half, ~half]) & (not never)
    made = dict(columns)
    for number, row in enumerate(held):
        log_p = -np.exp(rng.normal(size=N) - 2.0 * row)
        made[f"reference_{number}_log_probability"], made[f"reference_{number}_member"] = log_p, row
    return made


def test_references_in_the_table_bring_their_attacks_and_full_depth(tmp_path):
    report = audited(tmp_path, with_references(scores_of()))
    names = ["lira", "lira_offline", "rmia", "rmia_offline", "attack_r", "base"]
    assert list(figures(report)) == [*OF_CLASSES, *names]
    assert report.depth == "full"
    assert report.references == {"n_models": 4, "fraction": 0.5, "recipe_hash": None}
    assert load_report_dict(tmp_path / "out")["depth"] == "full"
    offline = audited(tmp_path, with_references(scores_of(), never=True))
    assert list(figures(offline)) == [*OF_CLASSES, "lira_offline", "rmia_offline", "attack_r", "base"]
    assert any("offline attacks rest on them alone" in caveat for caveat in offline.caveats)


# ---- what it says, and what it does not ----


def test_the_report_says_what_was_not_measured_and_holds_nothing_of_a_row(drawn, tmp_path):
    columns = scores_of()
    report = audited(tmp_path, columns, overrides={"name": "theirs", "push.max_auc": "0.55"})
    assert report.model["name"] == "theirs"
    assert report.model["weights_sha256"] is None
    assert report.verdict().budget == "failed"
    assert any("was not opened" in caveat for caveat in report.caveats)
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and not path.name.startswith(".")]
    written = [path for path in found if path.parent.name != "private"]
    assert {"privacy_report.json", "privacy_report.html", "privacy_roc.png", "privacy_scores.png"} == {
        path.name for path in written
    }
    inside = b"".join(path.read_bytes() for path in written)
    assert report.verdict().sentence.encode() in (tmp_path / "out" / "privacy_report.html").read_bytes()
    for secret in (*columns["id"], str(tmp_path)):
        assert secret.encode() not in inside


def test_the_gate_takes_no_report_of_scores(tmp_path):
    report = audited(tmp_path, scores_of())
    with pytest.raises(GateError, match="was made from a table of scores, and no weights can be held against it"):
        check_gate(tmp_path / "out")
    with pytest.raises(GateError, match="was made from a table of scores"):
        report.push_to_hub("owner/name", folder=tmp_path / "out")
    steps = " ".join(report.verdict().next_steps)
    assert "reference_0_probability" in steps
    assert "hf-privacy push" not in steps


def test_it_takes_no_place_of_a_saved_model_s_report(opened, tmp_path):
    report, columns, split_file = opened
    report.save(tmp_path / "out")
    before = (tmp_path / "out" / "privacy_report.json").read_bytes()
    overrides = {"data.split_file": str(split_file)}
    with pytest.raises(InputError, match="holds the privacy report of a saved model"):
        audited(tmp_path, columns, overrides=overrides)
    assert (tmp_path / "out" / "privacy_report.json").read_bytes() == before
    assert audited(tmp_path, columns, overrides=overrides, replace_report=True).model["weights_sha256"] is None


# ---- refusals ----


def changed(**columns):
    return {name: value for name, value in {**scores_of(), **columns}.items() if value is not None}


def without_scores(**columns):
    return {**{name: scores_of()[name] for name in ("label", "member")}, **columns}


P = np.exp(scores_of()["log_probability_cat"])
WITH_NAN = np.where(np.arange(N) < 3, np.nan, scores_of()["log_probability_cat"])


@pytest.mark.parametrize(
    ("columns", "overrides", "message"),
    [
        (
            without_scores(prob_cat=P, prob_dog=P),
            {},
            r"probabilities of \d+ of 80 rows do not add up to 1 \(one row's",
        ),
        (without_scores(prob_cat=P - 1, prob_dog=P), {}, r"probabilities reach from -.* pass numbers in \[0, 1\]"),
        (without_scores(prob_cat=P + 1, prob_dog=P), {}, "probabilities reach from"),
        (changed(log_probability_cat=WITH_NAN), {}, "'log_probability_cat' is empty or NaN in 3 places"),
        (changed(log_probability_cat=P), {}, "the log-probabilities go up to"),
        (without_scores(loss=P - 1), {}, "the losses go down to -"),
        (without_scores(logit_cat=np.full(N, np.inf), logit_dog=P), {}, "the logits hold infinite values"),
        (changed(label=["bird"] * N), {}, "label 'label' holds 'bird' and the table scores the classes cat, dog, fox"),
        (changed(label=[7] * N), {}, r"label 'label' holds 7 and the table scores 3 classes \(0 to 2\)"),
        (changed(label=None), {}, "label is 'label' and the table has the columns log_probability_cat, "),
        (changed(), {"data.label_column": "lable"}, "label is 'lable' and .* did you mean 'label'"),
        (changed(member=None), {}, "nothing says which records the model was trained on: name a column"),
        (changed(), {"data.member_column": "membr"}, "data.member_column is 'membr' and .* did you mean 'member'"),
        (changed(member=["yes"] * N), {}, "its values are to be true and false, or 1 and 0"),
        (changed(member=[None] + [True] * (N - 1)), {}, "'member', which is empty in 1 rows"),
        (changed(member=[True] * N), {}, "the table has no non-members"),
        (changed(member=[False] * N), {}, "the table has no members"),
        (changed(member=[True] * 3 + [False] * (N - 3)), {}, "the table has 3 members: at least 10 a side"),
        (changed(id=["a"] * 2 + [str(at) for at in range(N - 2)]), {}, "column 'id' repeats an id in 1 rows"),
        (without_scores(score=P), {}, "no column holds scores by its name: call them probability_<class>"),
        (without_scores(prob_cat=["high"] * N, prob_dog=P), {}, "'prob_cat' holds string and scores are numbers"),
        (without_scores(logits=[[0.0, 1.0]] * (N - 1) + [[0.0]]), {}, "holds lists of 1 to 2 numbers"),
        (without_scores(logits=[[0.0]] * N), {}, "the table scores 1 class"),
        (changed(reference_0_member=[True] * N), {}, "reference 0 needs two columns"),
        (
            changed(reference_0_loss=P, reference_0_member=[True] * N),
            {},
            "the scores of 1 reference model: at least 2",
        ),
        (
            with_references(scores_of()),
            {"audit.depth": "quick"},
            "audit.depth is 'quick' and the table holds reference",
        ),
        (changed(), {"audit.depth": "full"}, "audit.depth is 'full' and the table holds no reference models"),
        (changed(), {"audit.curvature": "10"}, "audit.curvature is set, and only a model that can be opened"),
        (changed(), {"training.seed": "1"}, "training.seed is set, and only a model that can be opened"),
        (changed(), {"audit.extra_attacks": "[label_only]"}, "holds 'label_only', which asks the model more"),
        (changed(), {"audit.dept": "quick"}, "unknown key 'dept'"),
        (changed(), {"data.split_file": "no.safetensors"}, "there is no split file at no.safetensors"),
        (changed(), {"data.group_column": "persn"}, "data.group_column is 'persn' and the table has"),
    ],
    ids=range(33),
)
def test_what_is_no_table_of_scores_is_said_in_one_sentence(columns, overrides, message, tmp_path):
    with pytest.raises(InputError, match=message):
        audited(tmp_path, columns, overrides=overrides)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no table of scores: pass --scores FILE"),
        ({"members": "a.csv"}, "members is given without nonmembers"),
        ({"scores": "s.csv", "members": "a.csv", "nonmembers": "b.csv"}, "pass one table, or two in its place"),
        ({"scores": "nowhere.csv"}, "scores is 'nowhere.csv': there is no such file"),
        ({"scores": "s.xlsx"}, "scores is 's.xlsx': pass a file that ends in .parquet"),
        ({"scores": "broken.parquet"}, "scores is 'broken.parquet', which cannot be read"),
        ({"scores": "empty.csv"}, "which has no rows"),
        ({"scores": "twice.csv"}, "two columns called 'a'"),
        ({"scores": "one.csv", "columns": ["los"]}, "score_columns is 'los' .* did you mean 'loss'"),
        ({"scores": "one.csv", "columns": ["value"]}, "whose names do not say what they hold"),
        ({"scores": "one.csv", "kind": "odds"}, "score_kind is 'odds': pass probability, log_probability, logit or"),
        ({"scores": "one.csv", "kind": "logit", "columns": ["value"]}, "logits are needed of every class"),
        ({"scores": "one.csv", "kind": "loss", "columns": ["value", "loss"]}, "a loss is one column"),
        ({"members": "one.csv", "nonmembers": "twice_fixed.csv"}, "members has the column 'value' and the other"),
    ],
    ids=range(14),
)
def test_what_is_asked_for_wrongly_is_said_in_one_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "broken.parquet": "no parquet", "empty.csv": "loss,member\n", "twice.csv": "a,a\n1,2\n",
        "one.csv": "loss,value\n1.0,2.0\n", "twice_fixed.csv": "loss\n1.0\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        audit_scores(**arguments)


def test_names_of_columns_say_their_kind():
    table = pa.table({"loss": [1.0], "logprob_a": [-1.0], "logprob_b": [-1.0], "probability": [0.5]})
    assert score_columns(table).classes == ("a", "b")
    assert score_columns(table, kind="probability").names == ("probability",)
    assert score_columns(table, columns=["loss"]).kind == "loss"
    assert class_numbers(pa.table({"y": [2, 1]}), "y", ["1", "2"], 2).tolist() == [1, 0]  # names go before numbers
    assert class_numbers(pa.table({"y": [1.0, 0.0]}), "y", [], 2).tolist() == [1, 0]
    assert class_numbers(pa.table({"y": [True, False]}), "y", ["a", "b"], 2).tolist() == [1, 0]
    with pytest.raises(InputError, match="'label' is empty in 1 rows"):
        class_numbers(pa.table({"label": ["a", None]}), "label", ["a"], 2)
