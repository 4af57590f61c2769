"""Repeats across the split, as report and command line count them."""

from __future__ import annotations

from hf_privacy.data import RepeatReport


def repeats_across(repeats: RepeatReport | None) -> tuple[int | None, int | None]:
    """Non-members that are exact, and near-exact, repeats of a member; None where not looked for."""
    sides = "non_members_in_members"
    exact = None if repeats is None or repeats.exact_across is None else repeats.exact_across[sides]
    near = None if repeats is None or repeats.near_across is None else repeats.near_across[sides]
    return exact, near
