"""`hf-privacy audit --curvature`."""

from __future__ import annotations

from hf_privacy.cli.arguments import parse


def test_the_flag_asks_for_ten_vectors():
    _, options = parse(["audit", "--config", "r.yaml", "--curvature"])
    assert options.overrides == {"audit.curvature": "10"}
    assert "curvature" not in options.flags


def test_the_recipes_own_key_says_how_many():
    _, options = parse(["audit", "--config", "r.yaml", "--curvature", "--audit.curvature", "20"])
    assert options.overrides == {"audit.curvature": "20"}


def test_without_the_flag_the_recipe_decides():
    assert parse(["audit", "--config", "r.yaml"])[1].overrides == {}
