"""The modules of attacks on sequences: rows of any length in, the attack's own scores summarized out."""

from __future__ import annotations

import numpy as np
import pytest
from ragged_draws import draw, rows

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.metrics import attack_summary

N, K = 80, 6


def cases():
    """Module: its predictions, its keywords and the scores that it must summarize."""
    offsets, log_prob, mean, variance = draw(n_rows=N, longest=20)
    rng = np.random.default_rng(1)
    references = np.minimum(log_prob + rng.normal(0.0, 0.5, (K, len(log_prob))), 0.0)
    membership = np.arange(K)[:, np.newaxis] % 2 == rng.integers(2, size=N)

    def lists(values):
        return [row.tolist() for row in rows(values, offsets)]

    tokens, table = lists(log_prob), [lists(row) for row in references]
    loss, other = rng.exponential(size=N), rng.exponential(size=N)
    texts = ["word " * length for length in np.diff(offsets)]
    one_in = {"reference_membership": membership.astype(int).tolist()}
    return {
        "min_k": (tokens, {"k": 0.3}, attacks.min_k(log_prob, offsets, k=0.3)),
        "min_k_plus_plus": (
            tokens,
            {"mean": lists(mean), "variance": lists(variance)},
            attacks.min_k_plus_plus(log_prob, mean, variance, offsets),
        ),
        "surp": (tokens, {"mean": lists(mean), "k": 0.5}, attacks.surp(log_prob, mean, offsets, k=0.5)),
        "window_comparison": (
            tokens,
            {"reference_log_prob": table[0]},
            attacks.window_comparison(log_prob, references[0], offsets),
        ),
        "window_comparison, references": (
            tokens,
            {"reference_log_prob": table, **one_in},
            attacks.window_comparison(log_prob, references, offsets, reference_membership=membership),
        ),
        "token_lira": (
            tokens,
            {"reference_log_probs": table, **one_in, "mode": "offline"},
            attacks.token_lira(log_prob, references, offsets, membership, mode="offline"),
        ),
        "zlib": (loss, {"texts": texts}, attacks.zlib(loss, texts)),
        "lowercase": (loss, {"lowercase_loss": other.tolist()}, attacks.lowercase(loss, other)),
        "recall": (loss, {"prefixed_loss": other.tolist()}, attacks.recall(loss, other)),
        "reference_difference": (
            -loss,
            {"reference_signals": references[:, :N].tolist(), **one_in},
            attacks.reference_difference(-loss, references[:, :N], membership),
        ),
    }


CASES = cases()
MEMBERS = np.arange(N) % 2
SEQUENCES = [name for name in CASES if isinstance(CASES[name][0], list)]


@pytest.mark.parametrize("case", CASES)
def test_module_is_the_attack_summarized(metrics, case):
    predictions, keywords, scores = CASES[case]
    module = metrics[case.partition(",")[0]]
    given = dict(keywords)
    found = module.compute(predictions=predictions, references=MEMBERS, fprs=[0.1], confidence=0.9, **keywords)
    assert found == attack_summary(scores, MEMBERS, fprs=[0.1], confidence=0.9)
    assert {type(value) for value in found.values()} <= {float, int}
    assert keywords == given
    if isinstance(predictions, list):
        module.add_batch(predictions=predictions[:7], references=MEMBERS[:7])
        module.add_batch(predictions=[np.array(row) for row in predictions[7:]], references=MEMBERS[7:])
        assert module.compute(fprs=[0.1], confidence=0.9, **keywords) == found


def test_rows_keep_their_float64_and_may_be_of_one_length(metrics):
    tied_in_float32 = -1.0 + 1e-12 * np.repeat(MEMBERS, 3).reshape(N, 3)
    assert metrics["min_k"].compute(predictions=tied_in_float32, references=MEMBERS, k=1.0)["auc"] == 1.0


@pytest.mark.parametrize("case", SEQUENCES)
@pytest.mark.parametrize("wrong", ["nan", "empty row", "a number a row", "positive", "a word", "not 0/1"])
def test_bad_rows_are_refused_in_a_sentence_and_the_module_lives_on(metrics, case, wrong):
    predictions, keywords, scores = CASES[case]
    module, broken, references = metrics[case.partition(",")[0]], list(predictions), MEMBERS.copy()
    message = {"nan": "log_prob holds 1 NaN", "positive": "log_prob goes up to 0.5"}.get(wrong, "predictions")
    if wrong == "nan":
        broken[3] = [float("nan"), *broken[3][1:]]
    elif wrong == "positive":
        broken[3] = [0.5, *broken[3][1:]]
    elif wrong == "empty row":
        broken[3] = []
        message = "rows of other lengths than predictions|offsets leave 1 of 80 rows without a scored token, row 3"
    elif wrong == "a number a row":
        broken = [row[0] for row in broken]
    elif wrong == "a word":
        broken[3] = ["-1.0"] * len(broken[3])
    else:
        references[5] = 2
        message = "references holds 2: pass 1 for a member"
    with pytest.raises(InputError, match=message) as refused:
        module.compute(predictions=broken, references=references, **keywords)
    assert "\n" not in str(refused.value)
    found = module.compute(predictions=predictions, references=MEMBERS, fprs=[0.1], **keywords)
    assert found == attack_summary(scores, MEMBERS, fprs=[0.1], confidence=0.95)


@pytest.mark.parametrize(
    ("case", "keyword"),
    [
        ("min_k_plus_plus", "mean"),
        ("min_k_plus_plus", "variance"),
        ("surp", "mean"),
        ("window_comparison", "reference_log_prob"),
        ("window_comparison, references", "reference_log_prob"),
        ("token_lira", "reference_log_probs"),
        ("zlib", "texts"),
        ("lowercase", "lowercase_loss"),
        ("recall", "prefixed_loss"),
    ],
)
def test_a_keyword_of_another_length_is_refused_with_its_name(metrics, case, keyword):
    predictions, keywords, _ = CASES[case]
    shorter = keywords[keyword][1:]
    if case in ("window_comparison, references", "token_lira"):
        shorter = [model[1:] for model in keywords[keyword]]
    with pytest.raises(InputError, match=keyword):
        metrics[case.partition(",")[0]].compute(
            predictions=predictions, references=MEMBERS, **{**keywords, keyword: shorter}
        )
