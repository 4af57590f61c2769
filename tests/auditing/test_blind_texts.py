"""The blind baseline on texts: dates give a split away, an author's name does not where authors are whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy import audit
from hf_privacy.auditing.examinations.blind_baseline import blind_baseline, whole_texts
from hf_privacy.data import MembershipSplit, encode_language, make_split

WORDS = [f"word{number}" for number in range(60)]
SIDE = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 256, "bos_token_id": 0, "eos_token_id": 0}
    return saved_language_model(tmp_path_factory.mktemp("model"), byte_level(), "gpt2", **sizes)


def sentence(rng) -> str:
    return " ".join(rng.choice(WORDS, size=rng.integers(5, 12)))


def dated(seed: int, *, apart: bool) -> tuple[Dataset, MembershipSplit]:
    """Questions of some year and their answers; members are older where the split is by date."""
    rng = np.random.default_rng(seed)
    members = rng.permutation(2 * SIDE) < SIDE
    years = rng.integers(2000, 2024, size=2 * SIDE)
    if apart:
        years = np.where(members, rng.integers(2000, 2020, size=2 * SIDE), rng.integers(2020, 2024, size=2 * SIDE))
    rows = Dataset.from_dict(
        {
            "prompt": [f"What was new in {year}?" for year in years],
            "completion": [sentence(rng) for _ in years],
        }
    )
    return rows, make_split(rows, members=np.flatnonzero(members), fingerprint="f")


def told(rows: Dataset, split: MembershipSplit, *, seed: int = 0, **options) -> dict:
    encoded = encode_language(rows, byte_level(), columns=rows.column_names[:2], max_length=256)
    texts = whole_texts(encoded.subset(split.pool), byte_level())
    found = blind_baseline(encoded, split, confidence=0.95, seed=seed, texts=texts, **options)
    assert found is not None
    return found


def test_a_date_in_the_prompt_gives_the_split_away():
    found = told(*dated(0, apart=True))
    assert found["auc"] > 0.95
    assert found["differs"]


def test_random_halves_of_one_source_are_not_told_apart():
    found = [told(*dated(seed, apart=False), seed=seed) for seed in range(4)]
    areas = [one["auc"] for one in found]
    # One run's AUC has a standard deviation of some .05.
    assert np.mean(areas) == pytest.approx(0.5, abs=3.5 * 0.055 / np.sqrt(4))
    assert sum(one["differs"] for one in found) <= 1


def by_author(seed: int) -> Dataset:
    """Twenty authors, named in every text of theirs, with words of their own."""
    rng = np.random.default_rng(seed)
    rows = [(author, f"Asked of Author{author}:", f"own{author} {sentence(rng)}") for author in range(20)] * 8
    return Dataset.from_dict(dict(zip(("author", "prompt", "completion"), zip(*rows, strict=True), strict=True)))


def test_a_name_of_whole_authors_tells_nothing_and_of_split_ones_all():
    areas, by_row = [], []
    for seed in range(3):
        rows = by_author(seed)
        split = make_split(rows, group_column="author", stratify=False, seed=seed, fingerprint="f")
        texts = rows.select_columns(["prompt", "completion"])
        found = told(texts, split, seed=seed)
        areas.append(found["auc"])
        assert not found["differs"]
        as_rows = MembershipSplit(split.members, split.non_members, [], n_examples=len(rows), dataset_fingerprint="f")
        by_row.append(told(texts, as_rows, seed=seed)["auc"])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.2)  # ten authors a side: .12 a run
    assert min(by_row) > 0.85


def test_few_groups_cannot_train_a_classifier():
    rows = by_author(0).filter(lambda row: row["author"] < 5)
    rows = Dataset.from_dict({name: rows[name][:] * 6 for name in rows.column_names})
    split = make_split(rows, group_column="author", stratify=False, fingerprint="f")
    encoded = encode_language(rows, byte_level(), columns=("prompt", "completion"), max_length=256)
    assert blind_baseline(encoded, split, confidence=0.95) is None


def test_tokens_alone_tell_of_words_and_the_base_models_loss_of_what_it_knows():
    rng = np.random.default_rng(3)
    members = rng.permutation(2 * SIDE) < SIDE
    rows = Dataset.from_dict({"text": [("cat " if member else "dog ") + sentence(rng) for member in members]})
    split = make_split(rows, members=np.flatnonzero(members), fingerprint="f")
    encoded = encode_language(rows, byte_level(), columns=("text",), max_length=256)
    tokens = {name: encoded.column(name) for name in encoded.column_names}
    alone = type(encoded)(tokens, padding_side="right", sequence_columns=tuple(tokens))
    assert blind_baseline(alone, split, confidence=0.95)["auc"] > 0.8
    fair, split = dated(1, apart=False)
    loss = rng.normal(size=2 * SIDE) - 3 * split.membership
    assert told(fair, split, base_loss=loss)["auc"] > 0.8


def test_the_audit_of_a_language_model_names_what_gives_its_split_away(folder, tmp_path):
    rows, _ = dated(0, apart=True)
    years = np.array([int(prompt[-5:-1]) for prompt in rows["prompt"]])
    split = make_split(rows, members=np.flatnonzero(years < 2020))
    torch.manual_seed(0)
    report = audit(folder, rows, split, output_dir=tmp_path / "apart", depth="quick", show_progress=False)
    assert report.blind_baseline["auc"] > 0.95
    assert any("can be told apart without the model" in caveat for caveat in report.caveats)
