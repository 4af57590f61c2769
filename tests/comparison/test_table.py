"""Which row is set against which, and how the Markdown names them."""

from __future__ import annotations

import copy

from hf_privacy.comparison.markdown import comparison_markdown
from hf_privacy.comparison.table import add_differences


def test_defended_outputs_are_set_against_the_hosts_defended_outputs(make_table):
    table = make_table()
    rows = {(row["name"], row["outputs"]): row for row in table["rows"]}
    defended = copy.deepcopy(rows["hamp_cwrf", "plain"]) | {"outputs": "defended"}
    table["rows"].append(defended)
    add_differences(table["rows"], baseline="none", confidence=0.95)
    assert (defended["against"]["name"], defended["against"]["outputs"]) == ("hamp", "defended")
    host = rows["hamp", "defended"]["attacks"]["lira"]["auc"]["values"]
    mine = defended["attacks"]["lira"]["auc"]["values"]
    found = defended["against"]["attacks"]["lira"]["auc"]["values"]
    assert found == [a - b for a, b in zip(mine, host, strict=True)]
    assert "| hamp_cwrf, defended outputs | hamp, defended outputs |" in comparison_markdown(table)


def test_a_host_without_defended_outputs_is_set_against_as_it_is(make_table):
    table = make_table()
    add_differences(table["rows"], baseline="none", confidence=0.95)
    rows = {(row["name"], row["outputs"]): row for row in table["rows"]}
    assert rows["none", "plain"]["against"] is None
    assert rows["hamp", "defended"]["against"]["name"] == "none"
    assert rows["relax_loss_cwrf", "plain"]["against"]["name"] == "relax_loss"
