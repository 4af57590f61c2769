"""Extraction: what a memorized set gives back and held-out rows do not, and greedy hits against real decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_language import language_model, token_rows

from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.examinations.extraction.parts import asked_parts
from hf_privacy.auditing.examinations.extraction.rates import compared, share_of
from hf_privacy.auditing.examinations.extraction.run import Extraction
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings, ExtractionSettings
from hf_privacy.signals import sampling_log_prob, token_signals
from hf_privacy.statistics.clusters import effective_counts

N, LENGTH = 40, 14


def learnt_rows(prompt: int = 4, seed: int = 5) -> TensorDataset:
    return token_rows([LENGTH] * N, prompt=prompt, seed=seed)


@pytest.fixture(scope="module")
def memorized():
    """A model trained on the first 20 of 40 rows until it knows them by heart, and its start."""
    torch.manual_seed(0)
    dataset, base, model = learnt_rows(), language_model("llama"), language_model("llama")
    batch = {name: dataset.column(name)[:20] for name in dataset.column_names}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    return model.eval(), base, dataset


def examined(tmp_path, model, base, dataset, split=None, **settings):
    split = split or MembershipSplit(
        np.arange(20), np.arange(20, N), np.array([], dtype=np.int64), n_examples=N, dataset_fingerprint="f"
    )
    case = AuditCase(
        target=model,
        dataset=dataset,
        split=split,
        settings=AuditSettings(depth="quick", extraction=settings or None),
        output_dir=tmp_path,
        references_dir=tmp_path,
        base_model=base,
        show_progress=False,
    )
    examination = Extraction()
    examination.check(case)
    found = examination.run(case)
    return None if found is None else found["extraction"]


def test_a_memorized_set_comes_back_whole_and_held_out_rows_do_not(memorized, tmp_path):
    found = examined(tmp_path, *memorized)
    greedy = found["greedy"]
    assert (greedy["members"]["rate"], greedy["heldout"]["rate"]) == (1.0, 0.0)
    assert (greedy["base_members"]["rate"], greedy["base_heldout"]["rate"]) == (0.0, 0.0)
    assert greedy["leakage"]["value"] == 1.0
    assert greedy["leakage"]["low"] > 0.5
    assert found["overlap"]["members"]["longest_run"] == LENGTH - 4
    assert found["overlap"]["members"]["containment"] == 1.0
    assert found["overlap"]["heldout"]["containment"] == 0.0
    assert found["overlap"]["base_members"]["longest_run"] < 4
    curve = {(entry["n"], entry["p"]): entry for entry in found["sampling"]["curve"]}
    assert curve[100, 0.9]["members"]["rate"] == 1.0
    assert curve[1_000_000, 0.1]["heldout"]["rate"] < 0.2
    for side in ("members", "heldout"):  # more samples and a smaller chance never find less
        for p in (0.1, 0.5, 0.9):
            rates = [curve[n, p][side]["rate"] for n in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)]
            assert rates == sorted(rates)
    assert found["n_left_out"] == 0
    assert (found["mean_prefix_tokens"], found["mean_suffix_tokens"]) == (4.0, 10.0)


def test_an_untrained_model_beside_its_own_start_leaks_exactly_nothing(memorized, tmp_path):
    _, base, dataset = memorized
    found = examined(tmp_path, base, base, dataset)
    entries = [found["greedy"], *found["sampling"]["curve"]]
    assert all(entry["leakage"]["value"] == 0.0 for entry in entries)
    assert all(entry["leakage"]["low"] <= 0.0 <= entry["leakage"]["high"] for entry in entries)


def test_the_product_of_greedy_hits_is_greedy_decoding(memorized):
    model, _, dataset = memorized
    settings = ExtractionSettings(suffix_tokens=6, prefix_tokens=5)
    parts = asked_parts(dataset, settings)
    greedy = token_signals(model, dataset).greedy
    ids, decoded = dataset.column("input_ids"), []
    for row, start, length in zip(parts.rows, parts.starts, parts.lengths, strict=True):
        prefix = ids[row : row + 1, :start]
        made = model.generate(prefix, do_sample=False, max_new_tokens=int(length), eos_token_id=None, pad_token_id=0)
        decoded.append(torch.equal(made[0, start:], ids[row, start : start + length]))
    hits = [greedy[parts.places[a:b]].all() for a, b in zip(parts.offsets[:-1], parts.offsets[1:], strict=True)]
    assert hits == decoded
    assert 0 < sum(hits) < len(hits)


def test_the_share_of_samples_is_the_probability_from_the_table(memorized, tmp_path):
    """One sample gives a row back with p_z: told by a thousand samples of a half-forgotten row."""
    model, _, dataset = memorized
    noisy = language_model("llama")
    with torch.no_grad():
        for own, learnt in zip(noisy.parameters(), model.parameters(), strict=True):
            own.copy_(learnt + 0.03 * torch.randn(learnt.shape, generator=torch.Generator().manual_seed(1)))
    parts = asked_parts(dataset, ExtractionSettings(suffix_tokens=2))
    log_prob = sampling_log_prob(noisy, dataset, temperature=3.0, top_k=20)[parts.places]
    p = np.exp(np.add.reduceat(log_prob.astype(np.float64), parts.offsets[:-1]))
    row = int(np.argmin(np.abs(p - 0.3)))
    assert 0.05 < p[row] < 0.9
    torch.manual_seed(0)
    prefix = dataset.column("input_ids")[row : row + 1, :4].expand(4000, 4)
    made = noisy.generate(
        prefix, do_sample=True, temperature=3.0, top_k=20, max_new_tokens=2, eos_token_id=None, pad_token_id=0
    )
    share = (made[:, 4:] == dataset.column("input_ids")[row, 4:6]).all(dim=1).float().mean()
    assert float(share) == pytest.approx(p[row], abs=4 * np.sqrt(p[row] * (1 - p[row]) / 4000))


def naive_parts(dataset, prefix, suffix):
    found, flat = [], 0
    with_prompts = any((dataset[row]["labels"][1] == -100) for row in range(len(dataset)))
    for row in range(len(dataset)):
        labels, length = dataset[row]["labels"].tolist(), int(dataset[row]["attention_mask"].sum())
        places = [column for column in range(1, length) if labels[column] != -100]
        given = prefix if prefix is not None else 0 if with_prompts else max(1, min(50, length // 2))
        behind = [column for column in places if column >= given]
        if behind:
            part = [behind[0]]
            while part[-1] + 1 in behind and len(part) < suffix:
                part.append(part[-1] + 1)
            found.append((row, part, [flat + places.index(column) for column in part]))
        flat += len(places)
    return found


@pytest.mark.parametrize("suffix", [1, 3, 50])
@pytest.mark.parametrize("prefix", [None, 1, 5, 9])
@pytest.mark.parametrize("kind", ["prompt", "text", "turns"])
def test_what_is_asked_for_equals_a_loop_over_rows(kind, prefix, suffix):
    dataset = token_rows(prompt={"prompt": 3, "text": 0, "turns": 2}[kind])
    if kind == "turns":  # another speaker between two scored turns
        labels = dataset.column("labels").clone()
        labels[:, 5:7] = -100
        dataset = dataset.with_tensors({**{n: dataset.column(n) for n in dataset.column_names}, "labels": labels})
    parts = asked_parts(dataset, ExtractionSettings(prefix_tokens=prefix, suffix_tokens=suffix))
    expected = naive_parts(dataset, prefix, suffix)
    assert parts.rows.tolist() == [row for row, _, _ in expected]
    assert parts.columns().tolist() == [column for _, part, _ in expected for column in part]
    assert parts.places.tolist() == [place for _, _, places in expected for place in places]
    ids = dataset.column("input_ids")
    assert parts.tokens(dataset).tolist() == [int(ids[row, column]) for row, part, _ in expected for column in part]


def test_repeats_in_the_training_set_are_told_apart(memorized, tmp_path):
    model, base, dataset = memorized
    rows = np.concatenate([np.arange(20), np.arange(20, 40), np.repeat(np.arange(20, 28), 3)])
    repeated = dataset.subset(rows)
    split = MembershipSplit(
        np.concatenate([np.arange(20), np.arange(40, 64)]),
        np.arange(20, 40),
        np.array([], dtype=np.int64),
        n_examples=64,
        dataset_fingerprint="f",
    )
    found = examined(tmp_path, model, base, repeated, split)
    assert [(entry["k_from"], entry["k_to"]) for entry in found["repeats"]] == [(1, 1), (2, 4)]
    assert [entry["members"]["rate"] for entry in found["repeats"]] == [1.0, 0.0]
    assert [entry["members"]["n_examples"] for entry in found["repeats"]] == [20, 24]


def test_generation_can_be_left_out_and_a_model_from_scratch_has_no_base(memorized, tmp_path):
    model, _, dataset = memorized
    found = examined(tmp_path, model, None, dataset, generated=0, top_k=None, top_p=0.9)
    assert found["overlap"] is None
    assert found["greedy"]["base_members"] is None
    assert found["greedy"]["leakage"]["value"] == 1.0


def test_rows_too_short_are_counted_or_refused(memorized, tmp_path):
    model, base, dataset = memorized
    lengths = [LENGTH] * 15 + [5] * 5 + [LENGTH] * 20
    short = token_rows(lengths, prompt=4, seed=5)
    assert examined(tmp_path, model, base, short, prefix_tokens=6)["n_left_out"] == 5
    with pytest.raises(InputError, match="0 members and 0 held-out rows have a scored token"):
        examined(tmp_path, model, base, dataset, prefix_tokens=30)


def test_off_it_says_nothing(memorized, tmp_path):
    model, _, dataset = memorized
    case_settings = AuditSettings(depth="quick", extraction=False)
    case = AuditCase(
        target=model,
        dataset=dataset,
        split=MembershipSplit(
            np.arange(20), np.arange(20, N), np.array([], dtype=np.int64), n_examples=N, dataset_fingerprint="f"
        ),
        settings=case_settings,
        output_dir=tmp_path,
        references_dir=tmp_path,
    )
    examination = Extraction()
    examination.check(case)
    assert examination.run(case) is None


def test_rows_of_one_group_make_the_intervals_of_groups(memorized, tmp_path):
    model, base, dataset = memorized
    empty = np.array([], dtype=np.int64)
    widths = {}
    for unit, groups in ((None, None), ("author", np.arange(N) // 5)):
        split = MembershipSplit(
            np.arange(20), np.arange(20, N), empty, n_examples=N, dataset_fingerprint="f", groups=groups, unit=unit
        )
        greedy = examined(tmp_path, model, base, dataset, split, generated=0)["greedy"]
        assert greedy["members"]["rate"] == 1.0
        assert greedy["members"]["n_examples"] == 20
        widths[unit] = greedy["members"]["low"]
    assert widths["author"] < widths[None] - 0.2  # four authors, and not twenty rows


def test_a_prompt_of_one_token_among_longer_ones_is_given_and_nothing_of_its_completion():
    dataset = token_rows([12, 12], prompt=3)
    labels = dataset.column("labels").clone()
    labels[1] = dataset.column("input_ids")[1]
    labels[1, 0] = -100
    dataset = dataset.with_tensors({**{n: dataset.column(n) for n in dataset.column_names}, "labels": labels})
    parts = asked_parts(dataset, ExtractionSettings(suffix_tokens=2))
    assert parts.columns().tolist() == [3, 4, 1, 2]


def test_one_row_given_back_never_narrows_what_none_left_open():
    groups = np.repeat(np.arange(8), 20)
    ends = [share_of(np.arange(160) < k, groups, confidence=0.95)["high"] for k in range(60)]
    assert min(ends) == ends[0]
    lows = [share_of(np.arange(160) < k, groups, confidence=0.95)["low"] for k in range(100, 161)]
    assert max(lows) == lows[-1]


@pytest.mark.parametrize(("share", "chance"), [(0.9, 0.08), (1.0, 0.1)])
def test_few_authors_who_are_given_back_whole_are_covered(share, chance):
    """Where most authors give nothing, the draw that meets none of the others must still allow for them."""
    generator = np.random.default_rng(3)
    groups, rare = np.repeat(np.arange(8), 20), 0.01
    truth, missed = chance * share + (1 - chance) * rare, 0
    for _ in range(200):
        rates = np.where(generator.random(8) < chance, share, rare)
        found = share_of(generator.random(160) < np.repeat(rates, 20), groups, confidence=0.95)
        missed += not found["low"] <= truth <= found["high"]
    assert missed / 200 <= 0.05


def test_a_higher_confidence_counts_groups_at_its_own_tail():
    hits = np.repeat(np.arange(5), 40) % 2 == 0
    counts = [effective_counts(hits, np.repeat(np.arange(5), 40), tail=tail)[1] for tail in (0.025, 0.005)]
    assert counts[0] > counts[1]


def test_rows_of_one_author_count_less():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    together = np.repeat(generator.random(20) < 0.5, 10)
    apart = generator.random(200) < 0.5
    assert effective_counts(together, groups)[1] <= 20
    assert effective_counts(apart, groups)[1] > 80
    assert effective_counts(np.zeros(200, dtype=bool), groups) == (0, 20)
    assert effective_counts(apart, np.arange(200)) == (int(apart.sum()), 200)
    wide, narrow = (
        compared({"target": together}, membership=groups % 2 == 0, groups=of, confidence=0.95)["leakage"]
        for of in (groups, None)
    )
    assert wide["value"] == narrow["value"]
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_group_intervals_cover():
    generator = np.random.default_rng(1)
    groups, covered = np.repeat(np.arange(30), 8), 0
    for _ in range(300):
        rates = generator.beta(0.5, 1.5, size=30)
        hits = generator.random(240) < np.repeat(rates, 8)
        found = share_of(hits, groups, confidence=0.95)
        covered += found["low"] <= 0.25 <= found["high"]
    assert covered / 300 > 0.93
