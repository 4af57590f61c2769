"""The canary audit: fair coins, one more training, a bound that holds, and nothing of it in what is published."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from transformers import TrainerCallback

from hf_privacy import audit
from hf_privacy.auditing import CanaryResult, canary_audit
from hf_privacy.auditing.examinations.canaries import plan, twin
from hf_privacy.auditing.examinations.canaries.plan import default_guesses
from hf_privacy.data import MembershipSplit, TensorDataset, make_canaries
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import load_model
from hf_privacy.reports import card_data_of_folder, write_card
from hf_privacy.signals import SignalStore
from hf_privacy.statistics import epsilon_one_run, epsilon_one_run_fdp

N_ROWS, N_CANARIES = 600, 160


def mlp() -> torch.nn.Module:
    return load_model(
        "hf_privacy_tabular_mlp",
        task="tabular-classification",
        num_labels=10,
        from_scratch=True,
        model_kwargs={"input_size": 64, "hidden_sizes": [128]},
    )


@pytest.fixture(scope="module")
def digits() -> TensorDataset:
    bunch = load_digits()
    values = torch.tensor(bunch.data[:N_ROWS] / 16, dtype=torch.float32)
    return TensorDataset({"features": values, "labels": torch.tensor(bunch.target[:N_ROWS], dtype=torch.long)})


@pytest.fixture(scope="module")
def digits_split() -> MembershipSplit:
    """200 members, 400 non-members."""
    order = np.random.default_rng(0).permutation(N_ROWS)
    return MembershipSplit(order[:200], order[200:], [], n_examples=N_ROWS, dataset_fingerprint="digits")


@pytest.fixture(scope="module")
def make_trainer(digits, digits_split, tmp_path_factory):
    def make(trainer_class: type[PrivacyTrainer] = PrivacyTrainer, callbacks=None, **arguments: Any) -> PrivacyTrainer:
        settings = {
            "output_dir": str(tmp_path_factory.mktemp("target")),
            "num_train_epochs": 80,
            "per_device_train_batch_size": 28,
            "learning_rate": 5e-3,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            **arguments,
        }
        return trainer_class(
            args=PrivacyConfig(**settings),
            model_init=mlp,
            train_dataset=digits.subset(digits_split.members),
            callbacks=callbacks,
        )

    return make


@pytest.fixture(scope="module")
def memorized(make_trainer, digits, digits_split, tmp_path_factory) -> tuple[Path, CanaryResult]:
    """A recipe that learns its training set by heart, audited by mislabelled digits."""
    folder = tmp_path_factory.mktemp("memorized")
    result = canary_audit(
        make_trainer(),
        digits,
        digits_split,
        output_dir=folder,
        n_canaries=N_CANARIES,
        coin_seed=0,
        show_progress=False,
    )
    return folder, result


class Untrained:
    """In place of a twin: takes the training set, learns nothing, and remembers what it was given."""

    made: ClassVar[list[Untrained]] = []

    def __init__(self, trainer, train_dataset, *, seed, output_dir) -> None:
        self.train_dataset, self.seed = train_dataset, seed
        self.model = trainer.model
        self.accelerator = SimpleNamespace(unwrap_model=lambda model: model)
        self.privacy_spent = trainer.privacy_spent
        self.made.append(self)

    def add_callback(self, callback) -> None:
        """Nothing is shown."""

    def train(self, resume_from_checkpoint=None) -> None:
        """Nothing is learnt."""


@pytest.fixture
def untrained(monkeypatch) -> list[Untrained]:
    """The twins of the test, none of which is trained."""
    monkeypatch.setattr(Untrained, "made", [])
    monkeypatch.setattr(twin, "reference_trainer", Untrained)
    return Untrained.made


@pytest.fixture
def audited(make_trainer, digits, digits_split, tmp_path):
    """An audit of a trainer that is made once, in a folder of the test's own."""
    trainer = make_trainer()

    def call(folder: str = "run", n_canaries: int = 100, **settings: Any) -> CanaryResult:
        settings = {"trainer": trainer, "show_progress": False, **settings}
        trainer_ = settings.pop("trainer")
        return canary_audit(
            trainer_, digits, digits_split, output_dir=tmp_path / folder, n_canaries=n_canaries, **settings
        )

    return call


def kept_coins(folder: Path) -> np.ndarray:
    return SignalStore.open(folder / "private" / "canaries").membership()[0]


# ---- what it finds ----


def test_a_recipe_that_memorizes_mislabelled_examples_is_bounded_away_from_zero(memorized):
    _, result = memorized
    assert result.auc_low > 0.6
    assert result.one_run > 0.2
    assert result.one_run_fdp > 0.2
    assert result.n_canaries == N_CANARIES
    assert result.epsilon_upper is None


def test_a_twin_whose_canaries_were_left_out_gives_zero(make_trainer, digits, digits_split, tmp_path, monkeypatch):
    monkeypatch.setattr(twin, "_with_canaries", lambda trainer, members, inserted: members)
    result = canary_audit(
        make_trainer(), digits, digits_split, output_dir=tmp_path, n_canaries=N_CANARIES, coin_seed=1,
        show_progress=False,
    )  # fmt: skip
    assert result.one_run == result.one_run_fdp == 0.0
    assert result.auc_low < 0.5 < result.auc_high


def test_the_bounds_are_those_of_the_statistics_on_the_kept_signals(memorized):
    folder, result = memorized
    store = SignalStore.open(folder / "private" / "canaries")
    coins, phi = store.membership()[0], store.read("phi")[0]
    settings = {"n_guesses": (16, 40, 80), "delta": 1 / 2000, "confidence": 0.95}
    assert result.n_guesses == settings["n_guesses"] == default_guesses(N_CANARIES)
    assert result.n_inserted == coins.sum()
    assert result.one_run == epsilon_one_run(phi, coins, **settings)
    assert result.one_run_fdp == epsilon_one_run_fdp(phi, coins, **settings)


def test_the_stated_bound_is_always_that_of_one_method_and_not_the_larger(memorized):
    _, result = memorized
    assert result.one_run_fdp > result.one_run
    assert result.epsilon_lower["epsilon"] == result.one_run


def test_by_loss_higher_still_means_likelier_inserted(memorized, make_trainer, digits, digits_split, tmp_path):
    folder, by_phi = memorized
    kept = SignalStore.open(folder / "private" / "canaries")
    metadata = {**kept.metadata, "score": "loss"}
    store = SignalStore.create(tmp_path / "private" / "canaries", metadata)
    signals = {name: kept.read(name, query=None)[0] for name in ("phi", "loss")}
    store.write(0, signals, kept.membership()[0], info=kept.info(0))
    by_loss = canary_audit(
        make_trainer(), digits, digits_split, output_dir=tmp_path, n_canaries=N_CANARIES, score="loss"
    )
    assert by_loss.auc == pytest.approx(by_phi.auc, abs=0.02)


# ---- coins ----


def test_coins_are_fair_each_audit_draws_its_own_and_no_leakage_is_found_no_oftener_than_stated(audited, untrained):
    results = [audited(str(number)) for number in range(60)]
    heads = sum(result.n_inserted for result in results)
    assert abs(heads - 3000) < 4 * np.sqrt(6000) / 2
    sizes = [len(twin.train_dataset) for twin in untrained]
    assert sizes == [200 + result.n_inserted for result in results]
    assert len({twin.train_dataset.column("features").numpy().tobytes() for twin in untrained}) == 60
    assert len({twin.seed for twin in untrained}) == 60
    # An untrained model knows nothing: Bin(60, 0.05) exceeds 10 once in 3,000 times.
    assert sum(result.one_run > 0 for result in results) <= 10


def test_what_the_canaries_are_decides_nothing_about_the_coins(audited, untrained, tmp_path):
    for seed in (0, 1):
        audited(str(seed), seed=seed, coin_seed=5)
    assert (kept_coins(tmp_path / "0") == kept_coins(tmp_path / "1")).all()
    first, second = (twin.train_dataset.column("features")[200:] for twin in untrained)
    assert not first.equal(second)
    audited("other", seed=0, coin_seed=6)
    assert (kept_coins(tmp_path / "other") != kept_coins(tmp_path / "0")).any()


def test_the_twin_is_trained_on_the_members_and_the_heads_alone(audited, untrained, digits, digits_split, tmp_path):
    audited(coin_seed=3, seed=2)
    (twin,) = untrained
    made = make_canaries(digits, n=100, members=digits_split.members, n_classes=10, seed=2)
    heads = np.flatnonzero(kept_coins(tmp_path / "run"))
    for name in ("features", "labels"):
        expected = torch.cat([digits.subset(digits_split.members).column(name), made.subset(heads).column(name)])
        assert twin.train_dataset.column(name).equal(expected)


def test_numbers_of_guesses_follow_from_the_number_of_canaries_alone():
    assert default_guesses(1000) == (100, 250, 500)
    assert default_guesses(10) == (2, 4)
    assert all(count % 2 == 0 for m in range(10, 200) for count in default_guesses(m))


def test_inserted_canaries_are_augmented_as_the_members_are():
    pixels = torch.arange(16.0).reshape(4, 1, 2, 2)
    images = TensorDataset({"pixel_values": pixels, "labels": torch.arange(4)})
    trainer = SimpleNamespace(train_dataset=images.with_augmentation(lambda batch: -batch))
    together = twin._with_canaries(trainer, images.subset([0, 1]), images.subset([3]))
    assert together.__getitems__([0, 1, 2])["pixel_values"].equal(-pixels[[0, 1, 3]])
    assert together.column("labels").tolist() == [0, 1, 3]


def test_members_keep_their_paraphrases_beside_inserted_canaries_which_have_none():
    both = TensorDataset({"input_ids": torch.arange(8)[:, None], "labels": torch.arange(8)})
    rows = both.halved()
    trainer = SimpleNamespace(train_dataset=rows)
    together = twin._with_canaries(trainer, rows.subset([0, 1]), rows.subset([3]))
    assert together.column("labels").tolist() == [0, 1, 3]
    assert together.has_paraphrase.tolist() == [True, True, False]
    assert together.paraphrased(np.ones(3, dtype=bool)).column("labels").tolist() == [4, 5, 3]


# ---- once, and on from where it was ----


def test_a_second_call_does_not_train_and_may_ask_for_another_delta(audited, untrained):
    first = audited()
    assert audited() == first
    other = audited(delta=1e-6, confidence=0.9)
    assert (other.delta, other.confidence, other.n_inserted) == (1e-6, 0.9, first.n_inserted)
    assert len(untrained) == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"n_canaries": 120}, "example_ids_digest, n_examples, n_guesses"),
        ({"kind": "random"}, "example_ids_digest, kind"),
        ({"n_guesses": 10}, "n_guesses"),
        ({"score": "loss"}, "score"),
        ({"seed": 1}, "example_ids_digest"),
    ],
)
def test_an_audit_of_other_settings_is_refused_in_the_same_folder(audited, untrained, settings, named):
    audited()
    with pytest.raises(InputError, match=rf"different: {named}\): delete its folder private/canaries"):
        audited(**settings)


def test_an_audit_of_another_recipe_is_refused_in_the_same_folder(audited, untrained, make_trainer):
    audited()
    with pytest.raises(InputError, match="different: recipe_hash"):
        audited(trainer=make_trainer(learning_rate=1e-3))


class KilledOnce(TrainerCallback):
    """Interrupts training at the third epoch, the first time."""

    kills = 0

    def on_epoch_end(self, args, state, control, **kwargs) -> None:
        if round(state.epoch) == 3 and not KilledOnce.kills:
            KilledOnce.kills += 1
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_with_the_same_coins_from_its_checkpoint(
    make_trainer, digits, digits_split, tmp_path, monkeypatch
):
    arguments = {"num_train_epochs": 5, "save_strategy": "epoch", "save_total_limit": 1}
    settings = {"n_canaries": 40, "show_progress": False}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setattr(KilledOnce, "kills", 1)
    trainer = make_trainer(callbacks=[KilledOnce()], **arguments)
    expected = canary_audit(trainer, digits, digits_split, output_dir=whole, coin_seed=11, **settings)

    monkeypatch.setattr(KilledOnce, "kills", 0)
    monkeypatch.setattr(twin.secrets, "randbits", lambda bits: 11)
    with pytest.raises(KeyboardInterrupt):
        canary_audit(trainer, digits, digits_split, output_dir=killed, **settings)
    assert list((killed / "private" / "canaries" / "model").glob("checkpoint-*"))
    monkeypatch.setattr(twin.secrets, "randbits", lambda bits: 12)  # not asked for again
    resumed = canary_audit(trainer, digits, digits_split, output_dir=killed, **settings)

    assert (resumed.n_inserted, resumed.auc) == (expected.n_inserted, expected.auc)
    stores = [SignalStore.open(folder / "private" / "canaries") for folder in (whole, killed)]
    np.testing.assert_allclose(stores[1].read("phi"), stores[0].read("phi"), rtol=1e-5, atol=1e-5)
    assert not (killed / "private" / "canaries" / "model").exists()


def test_a_coin_seed_other_than_the_kept_one_is_refused(audited, untrained, monkeypatch):
    monkeypatch.setattr(Untrained, "train", lambda self, resume_from_checkpoint=None: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        audited(coin_seed=1)
    with pytest.raises(InputError, match="coin_seed is another than the one kept"):
        audited(coin_seed=2)


# ---- beside the accountant ----


class Guaranteed(PrivacyTrainer):
    """States a guarantee, as a differentially private trainer does."""

    epsilon, delta = 8.0, 1e-4

    def privacy_spent(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "delta": self.delta, "accountant": "PRV", "sampler": "Poisson"}


class WronglyGuaranteed(Guaranteed):
    """Claims more privacy than it gives."""

    epsilon = 0.01


class GuaranteedElsewhere(WronglyGuaranteed):
    """Claims it at a δ that the lower bound says nothing about."""

    delta = 0.2


def test_an_undefended_training_guarantees_nothing(make_trainer):
    assert make_trainer().privacy_spent() is None


def test_delta_is_the_accountants_by_default_and_a_tenth_of_one_over_n_without_one(audited, untrained, make_trainer):
    assert audited("plain").delta == 1 / 2000
    guaranteed = audited("guaranteed", trainer=make_trainer(Guaranteed))
    assert guaranteed.delta == Guaranteed.delta
    assert guaranteed.epsilon_upper["epsilon"] == 8.0


@pytest.fixture(scope="module")
def reports(make_trainer, digits, digits_split, memorized, tmp_path_factory) -> dict[type, tuple[Path, Any]]:
    """Quick audits with canaries, by the trainer's class."""
    made = {}
    for trainer_class in (Guaranteed, WronglyGuaranteed):
        folder = tmp_path_factory.mktemp(trainer_class.__name__)
        trainer = make_trainer(trainer_class, output_dir=str(folder))
        trainer.train()
        trainer.save_model(_internal_call=True)
        report = audit(
            trainer, digits, digits_split, output_dir=folder, depth="quick", canaries=N_CANARIES,
            blind_baseline=False, show_progress=False,
        )  # fmt: skip
        write_card(folder, report, card_data_of_folder(folder))
        made[trainer_class] = folder, report
    return made


def test_the_report_shows_the_lower_bound_beside_the_upper_one(reports):
    folder, report = reports[Guaranteed]
    values = json.loads((folder / "privacy_report.json").read_text())
    assert values["epsilon"]["upper"] == {"epsilon": 8.0, "delta": 1e-4, "accountant": "PRV", "sampler": "Poisson"}
    lower = values["epsilon"]["lower"]
    assert 0 < lower["epsilon"] == values["canaries"]["one_run"]
    assert (lower["delta"], lower["confidence"]) == (1e-4, 0.95)
    assert values["canaries"]["n_canaries"] == N_CANARIES
    assert not any("contradicted" in caveat for caveat in values["caveats"])
    assert f"ε ≥ {lower['epsilon']:.3g}" in " ".join(report.table().split())
    assert "guaranteed ε ≤ 8" in " ".join(report.table().split())
    assert all(len(line) <= 100 for line in report.table().splitlines())


def test_page_and_card_say_that_the_bound_speaks_of_the_recipe_and_not_of_the_checkpoint(reports):
    folder, report = reports[Guaranteed]
    for name in ("privacy_report.html", "README.md"):
        text = (folder / name).read_text()
        assert f"{report.canaries['n_inserted']} of {N_CANARIES} canaries" in text
        assert "not of this checkpoint, which never saw a canary" in text
        assert f"{report.canaries['one_run']:.3g}" in text


def test_a_lower_bound_above_the_accountants_upper_bound_is_called_a_contradiction(reports):
    folder, report = reports[WronglyGuaranteed]
    assert report.caveats[0].startswith("The guarantee is contradicted: canaries show ε ≥")
    assert "the accountant claims ε ≤ 0.01" in report.caveats[0]
    for name in ("privacy_report.json", "privacy_report.html", "README.md"):
        assert "The guarantee is contradicted" in (folder / name).read_text()


def test_bounds_at_a_smaller_delta_than_the_guarantees_contradict_nothing(memorized):
    _, result = memorized
    claim = {"epsilon": 0.01, "accountant": "PRV", "sampler": "Poisson"}
    for delta, contradicted in ((result.delta, True), (result.delta / 2, True), (result.delta * 2, False)):
        upper = {**claim, "delta": delta}
        assert (CanaryResult(**{**vars(result), "epsilon_upper": upper}).contradiction is not None) == contradicted


# ---- nothing leaks ----


def test_no_coin_seed_or_score_is_in_what_is_published(reports):
    folder, report = reports[Guaranteed]
    seed_file = folder / "private" / "canaries" / "seed.json"
    seed = json.loads(seed_file.read_text())["seed"]
    assert len(seed) > 30
    assert seed_file.stat().st_mode & 0o077 == 0
    published = [path for path in folder.iterdir() if path.is_file()]
    assert {"privacy_report.json", "privacy_report.html", "README.md"} <= {path.name for path in published}
    assert not any(seed.encode() in path.read_bytes() for path in published)
    lists = [name for name, value in report.canaries.items() if isinstance(value, (list, tuple, dict))]
    assert lists == ["n_guesses"]


def test_an_audit_prints_nothing_of_the_coins(audited, untrained, capfd):
    result = audited(coin_seed=123456789, show_progress=True)
    shown = "".join(capfd.readouterr())
    assert "123456789" not in shown
    assert str(result.n_inserted) not in shown


# ---- bad input ----


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_canaries": 9}, "n_canaries is 9: pass at least 10"),
        ({"n_canaries": 401}, "401 mislabelled canaries are asked for and 400 distinct rows"),
        ({"n_guesses": 7}, "n_guesses is 7 for 100 canaries: pass even numbers from 2 to 100"),
        ({"n_guesses": [10, 102]}, "pass even numbers from 2 to 100"),
        ({"n_guesses": []}, "pass even numbers from 2 to 100"),
        ({"n_guesses": 10.0}, "pass even numbers from 2 to 100"),
        ({"delta": 0.0}, r"delta is 0.0: pass a number in \(0, 1\)"),
        ({"delta": float("nan")}, "delta is nan"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"score": "entropy"}, "score is 'entropy': pass 'phi' or 'loss'"),
        ({"kind": "worded"}, "kind is 'worded'"),
    ],
)
def test_settings_no_audit_can_be_made_with_are_refused_before_training(audited, untrained, settings, message):
    with pytest.raises(InputError, match=message):
        audited(**settings)
    assert not untrained


def test_a_trainer_that_cannot_be_cloned_is_refused(audited, untrained, digits, digits_split, tmp_path):
    trainer = PrivacyTrainer(
        model=mlp(),
        args=PrivacyConfig(str(tmp_path), use_cpu=True, report_to="none"),
        train_dataset=digits.subset(digits_split.members),
    )
    with pytest.raises(InputError, match="build it with model_init"):
        audited(trainer=trainer)


def test_a_saved_model_without_a_trainer_is_refused(reports, digits, digits_split, tmp_path):
    folder, _ = reports[Guaranteed]
    with pytest.raises(InputError, match="with canaries needs trainer"):
        audit(folder, digits, digits_split, output_dir=tmp_path, depth="quick", canaries=20, show_progress=False)


def test_coins_that_all_fall_on_one_side_are_refused_and_not_kept(audited, untrained, monkeypatch, tmp_path):
    class OneSided:
        def random(self, n):
            return np.zeros(n)

    monkeypatch.setattr(twin.np.random, "default_rng", lambda seed: OneSided())
    monkeypatch.setattr(plan, "make_canaries", lambda dataset, n, **settings: dataset.subset(np.arange(n)))
    with pytest.raises(InputError, match="all 10 coins fell on one side"):
        audited(n_canaries=10)
    assert not list(tmp_path.rglob("seed.json"))
