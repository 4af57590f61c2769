"""The part of a report that extraction gives, made up."""

from __future__ import annotations


def share(k, n=200):
    return {"rate": k / n, "low": max(k / n - 0.05, 0.0), "high": min(k / n + 0.05, 1.0), "n_examples": n}


def sides(members, heldout, base_members=2, base_heldout=2):
    value = (members - heldout - base_members + base_heldout) / 200
    return {
        "members": share(members),
        "heldout": share(heldout),
        "base_members": share(base_members),
        "base_heldout": share(base_heldout),
        "leakage": {"value": value, "low": value - 0.06, "high": value + 0.06},
    }


OVERLAP = {"longest_run": 12.5, "longest_run_share": 0.25, "containment": 0.125, "n_examples": 64}
FOUND = {
    "prefix_tokens": None,
    "suffix_tokens": 50,
    "mean_prefix_tokens": 17.5,
    "mean_suffix_tokens": 42.25,
    "n_left_out": 3,
    "confidence": 0.95,
    "greedy": sides(68, 4),
    "sampling": {
        "temperature": 1.0,
        "top_k": 40,
        "top_p": None,
        "curve": [{"n": n, "p": p, **sides(60, 4)} for p in (0.1, 0.5, 0.9) for n in (1, 100, 10_000, 1_000_000)],
    },
    "repeats": [
        {"k_from": 1, "k_to": 1, "members": share(50, 180)},
        {"k_from": 2, "k_to": None, "members": share(18, 20)},
    ],
    "overlap": {"members": OVERLAP, "heldout": OVERLAP, "base_members": None, "base_heldout": None},
    "seconds": 2.5,
}
