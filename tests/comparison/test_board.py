"""The board: the rows of every kind of result, the page they become, and what is refused."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hf_privacy.cli import main
from hf_privacy.comparison.board import board_page, board_rows, board_space_files
from hf_privacy.errors import InputError

ROOT = Path(__file__).parents[2]
RECIPES, CARDS, BOARD = ROOT / "recipes", ROOT / "model_cards", ROOT / "recipes" / "board" / "board.html"
COMPARED = RECIPES / "defenses" / "location30_result.json"
pytestmark = pytest.mark.skipif(not RECIPES.is_dir(), reason="the recipes are not installed with the package")


def committed() -> list[Path]:
    """What the README of recipes/board draws: every committed result of a recipe, and the cards' reports."""
    return [*sorted(RECIPES.rglob("*_result.json")), *sorted(CARDS.glob("*/privacy_report.json"))]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return board_rows(committed())


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


# ---- rows ----


def test_the_committed_board_is_what_the_committed_results_give(rows):
    # But for the style, which all pages share.
    there, here = (
        re.sub(r"<style>.*?</style>", "", text, flags=re.S)
        for text in (BOARD.read_text(encoding="utf-8"), board_page(rows))
    )
    assert there == here, "draw it again: see recipes/board/README.md"


def test_a_comparison_s_row_holds_its_figures_and_what_it_costs_beside_the_undefended_one():
    table = json.loads(COMPARED.read_text(encoding="utf-8"))
    found = {(row["title"], row["outputs"], row["attack"]): row for row in board_rows([COMPARED])}
    for row in table["rows"]:
        for attack in {*table["attacks"], row["strongest"]["name"]}:
            mine = found[row["title"], row["outputs"], attack]
            for measure in ("auc", "tpr"):
                theirs = row["attacks"][attack][measure]
                assert mine[measure] == {end: theirs[end] for end in ("mean", "low", "high")}
            assert mine["strongest"] == (attack == row["strongest"]["name"])
            assert (mine["unit"], mine["over"], mine["references"]) == ("row", "3 seeds", 32)
            against = row["against"]
            if row["name"] == "none":
                assert (mine["mark"], mine["cost"]) == ("undefended", None)
            elif against["name"] == "none":  # the table's own difference, with the sign turned
                lost = against["accuracy"]
                assert mine["cost"] == pytest.approx(
                    {"mean": -lost["mean"], "low": -lost["high"], "high": -lost["low"]}, abs=1e-12
                )
    assert found["DP-SGD, ε = 8", "plain", "lira"]["epsilon"]["epsilon"] == pytest.approx(7.9934, abs=1e-4)
    marked = {title for (title, _, _), row in found.items() if row["mark"] == "control"}
    assert {"CWRF, zeros", "CWRF, random weights", "CWRF, only the top trained"} <= marked
    assert "CWRF" not in marked


def test_every_kind_of_result_says_what_its_intervals_are_over(rows):
    over = {row["source"]: row["over"] for row in rows if row["strongest"]}
    assert over["robust/fashion_mnist_result.json"] == "5 targets"
    assert over["defenses/tofu_result.json"] == "3 seeds"
    assert over["causal_lm/tofu_full_result.json"] == "3 targets"
    assert over["unlearning/location30_result.json"] == "3 seeds"
    assert set(over) == {f"{path.parent.name}/{path.name}" for path in committed()}


def test_an_audited_run_names_its_model_commit_unit_and_time(rows):
    result = json.loads((RECIPES / "causal_lm" / "tofu_full_result.json").read_text(encoding="utf-8"))
    mine = {row["attack"]: row for row in rows if row["source"] == "causal_lm/tofu_full_result.json"}
    assert {row["model"] for row in mine.values()} == {"stories260K"}
    assert {row["unit"] for row in mine.values()} == {"author"}
    assert {row["commit"] for row in mine.values()} == {result["commit"]}
    assert mine["length"]["attack_control"]
    assert not mine["length"]["strongest"]
    loss = next(attack for attack in result["targets"]["attacks"] if attack["name"] == "loss")
    assert mine["loss"]["auc"] == {end: loss["auc"][end] for end in ("mean", "low", "high")}
    assert mine["loss"]["worth"]["mean"] == result["targets"]["nonmember_perplexity"]["mean"]
    assert mine["loss"]["seconds"] == pytest.approx(sum(result["cost"].values()))


def test_an_unlearned_row_stands_beside_the_original_and_retraining(rows):
    result = json.loads((RECIPES / "unlearning" / "location30_result.json").read_text(encoding="utf-8"))
    mine = {
        row["title"]: row
        for row in rows
        if row["source"] == "unlearning/location30_result.json" and row["request"] == "10 % at random"
    }
    assert mine["SalUn"]["distance"]["mean"] == result["random"]["salun"]["avg_gap"]
    assert mine["SalUn"]["time_ratio"] == result["random"]["salun"]["time_ratio"]
    assert mine["the original"]["mark"] == "nothing forgotten"
    assert mine["retrained without it"]["mark"] == "retrained"
    assert {row["data"] for row in mine.values()} == {"location30"}
    tofu = [row for row in rows if row["source"] == "unlearning/tofu_result.json"]
    assert {row["distance"]["measure"] for row in tofu if row["distance"]} == {"KS of truth ratios"}
    assert {row["commit"] for row in tofu} == {"ef18c80"}


def test_a_report_of_one_target_has_intervals_over_its_examples(tmp_path):
    report = json.loads((CARDS / "sst2-minilm-lora" / "privacy_report.json").read_text(encoding="utf-8"))
    report["targets"] = None
    (tmp_path / "privacy_report.json").write_text(json.dumps(report))
    found = {row["attack"]: row for row in board_rows([tmp_path / "privacy_report.json"])}
    assert {row["over"] for row in found.values()} == {"one model's examples"}
    [lira] = [attack for attack in report["attacks"] if attack["name"] == "lira"]
    assert found["lira"]["auc"] == {"mean": lira["auc"], "low": lira["auc_low"], "high": lira["auc_high"]}
    assert [name for name, row in found.items() if row["strongest"]] == [report["evidence"]["strongest"]["attack"]]


# ---- the page ----


def test_the_page_needs_nothing_else_and_is_a_table_without_its_script(rows):
    text = board_page(rows)
    page = Page(text)
    assert page.open == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.partition("<script>")[0])
    assert not any(page.all(tag) for tag in ("link", "img", "iframe"))
    assert all("src" not in attributes for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "default-src 'none'" in text
    assert {cell.get("scope") for cell in page.all("th")} == {"col", "row"}
    assert len(page.all("tr")) == len(rows) + 2
    assert not any("hidden" in attributes for attributes in page.all("tr"))
    assert "hidden" in page.all("form")[0]  # of use with the script alone, which shows it
    assert page.all("html")[0]["lang"] == "en"


def test_what_a_result_calls_things_is_escaped(tmp_path):
    table = json.loads(COMPARED.read_text(encoding="utf-8"))
    table["rows"][1]["title"] = "<script>alert(1)</script>"
    table["dataset"]["name"] = '"><b>'
    (tmp_path / "comparison.json").write_text(json.dumps(table))
    page = Page(board_page(board_rows([tmp_path / "comparison.json"])))
    assert (len(page.all("script")), len(page.all("b"))) == (1, 0)
    assert page.all("tr")[1]["data-data"] == '"><b>'


SORT_AND_FILTER = """
<script>
const table = document.querySelector("table.board");
const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === "Found");
const seen = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
const found = { first: seen().length, strongest: seen().every((row) => row.dataset.strongest === "yes") };
const form = document.getElementById("filters");
form.elements.attack.value = "lira";
form.elements.data.value = "location30";
form.dispatchEvent(new Event("change"));
found.filtered = seen().every((row) => row.dataset.attack === "lira" && row.dataset.data === "location30");
found.count = document.getElementById("count").textContent;
found.otherTable = document.querySelectorAll("section")[1].hidden;
const head = table.tHead.rows[0].cells[column];
for (const way of ["down", "up"]) {
  head.querySelector("button").click();
  found[way] = seen().map((row) => Number(row.cells[column].dataset.value));
  found[`${way}Says`] = head.getAttribute("aria-sort");
}
head.querySelector("button").focus();
found.focus = document.activeElement.textContent;
document.body.innerHTML = "";
document.body.append(JSON.stringify(found));
</script></body>"""


def test_a_browser_sorts_and_filters_it(rows, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium")
    page = tmp_path / "board.html"
    page.write_text(board_page(rows).replace("</body>", SORT_AND_FILTER), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [chromium, *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=300, check=False
    )
    said = re.search(r"<body[^>]*>\s*(\{.*\})", done.stdout)
    if said is None:
        pytest.skip(f"chromium does not run here: {done.stderr[-200:]}")
    found = json.loads(said[1])
    strongest = [row for row in rows if row["strongest"]]
    asked = [row for row in rows if (row["attack"], row["data"], row["table"]) == ("lira", "location30", "leakage")]
    assert (found["first"], found["strongest"]) == (sum(r["table"] == "leakage" for r in strongest), True)
    assert found["filtered"]
    assert found["count"] == f"{len(asked)} of {len(rows)} rows"
    assert found["otherTable"]
    assert found["down"] == sorted((row["tpr"]["mean"] for row in asked), reverse=True)
    assert found["up"] == sorted(found["down"])
    assert (found["downSays"], found["upSays"], found["focus"]) == ("descending", "ascending", "Found")


# ---- what is refused ----


def changed(**parts) -> dict:
    return {**json.loads(COMPARED.read_text(encoding="utf-8")), **parts}


def audited_without(name: str) -> dict:
    report = json.loads((RECIPES / "causal_lm" / "tofu_full_result.json").read_text(encoding="utf-8"))
    return {key: value for key, value in report.items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "is no JSON", id="no JSON"),
        pytest.param("[]", "it is no result: pass the comparison.json", id="a list"),
        pytest.param({"seconds": 3}, "it is no result that a board can show", id="another shape"),
        pytest.param(
            {"format": "hf_privacy comparison 9"}, "this version reads 'hf_privacy comparison 1'", id="later"
        ),
        pytest.param({"schema_version": "0.1"}, "this one reads '0.2'", id="another report"),
        pytest.param(lambda: changed(rows=[{"name": "none"}]), "is no whole result, it lacks or breaks", id="broken"),
        pytest.param(lambda: changed(rows=[]), "holds no row", id="empty"),
        pytest.param(lambda: audited_without("none"), "put the YAML that it was made by beside it", id="no YAML"),
        pytest.param(lambda: changed(name="/home/ada/run"), "holds the absolute path '/home/ada/run'", id="a path"),
    ],
)
def test_what_is_no_result_is_refused_in_one_sentence(content, message, tmp_path, capsys):
    file, output = tmp_path / "x_result.json", tmp_path / "board.html"
    content = content() if callable(content) else content
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    assert main(["compare", "--board", str(file), "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not output.exists()


def test_two_files_with_the_same_row_are_refused(tmp_path):
    other = tmp_path / "again.json"
    shutil.copy(COMPARED, other)
    with pytest.raises(InputError, match=r"hold the same row, 'undefended' of 'Defences on location30': pass one"):
        board_rows([COMPARED, other])
    with pytest.raises(InputError, match="no file"):
        board_rows([tmp_path / "none.json"])
    renamed = copy.deepcopy(changed(name="Another study"))
    other.write_text(json.dumps(renamed))
    assert len(board_rows([COMPARED, other])) == 2 * len(board_rows([COMPARED]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "b.html"], "--output is of a board: pass --board with result files too"),
        (["--dry-run"], "--dry-run is of a board"),
        (["--board", str(COMPARED), "--config", "c.yaml"], "--board and --config are both given"),
        (["--board", str(COMPARED), "--seeds", "[1]"], "--board takes no keys of a comparison: leave --seeds out"),
        (["--board", str(COMPARED), "--dry-run"], "pass --push-to-space owner/name too"),
        (["--board", str(COMPARED), "--push-to-space", "board"], "--push-to-space is 'board': pass owner/name"),
        (["--board", str(COMPARED), "--push-to-space", "me/b"], "HF_HUB_OFFLINE is set"),  # by tests/conftest.py
    ],
    ids=["output", "dry run", "config", "keys", "no space", "name", "offline"],
)
def test_flags_that_do_not_go_together_are_refused(arguments, message, capsys):
    assert main(["compare", *arguments]) == (4 if "HF_HUB_OFFLINE" in message else 2)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


# ---- the command and the Space ----


def test_the_command_draws_the_page_without_torch(tmp_path):
    code = "import sys; from hf_privacy.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    output = tmp_path / "boards" / "b.html"
    command = [sys.executable, "-c", code, "compare", "--board", str(COMPARED), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines() == [f"board: {output} ({len(board_rows([COMPARED]))} rows)", "False"]
    assert output.read_text(encoding="utf-8") == board_page(board_rows([COMPARED]))


def test_a_dry_run_lists_the_files_and_sends_nothing(capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert main(["compare", "--board", str(COMPARED), "--push-to-space", "me/board", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("private Space me/board, main:\n  README.md")
    assert "index.html" in said
    assert said.endswith("nothing was sent\n")


def test_json_holds_the_rows_and_where_the_page_is(tmp_path, capsys):
    output = tmp_path / "b.html"
    arguments = ["compare", "--board", str(COMPARED), "--output", str(output), "--json"]
    assert main([*arguments, "--push-to-space", "me/board", "--dry-run"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == board_rows([COMPARED])
    assert (printed["page"], printed["pushed"], printed["private"]) == (str(output), False, True)
    assert [file["name"] for file in printed["files"]] == ["README.md", "index.html"]


PUSH = """
import contextlib, io, json, os, sys
from hf_privacy.cli import main

results = []
for token, arguments in json.loads(sys.argv[1]):
    os.environ.update(HF_TOKEN=token)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["compare", "--board", sys.argv[2], *arguments])
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def test_the_push_makes_a_private_static_space_in_one_commit(local_hub):
    from local_hub import READ_TOKEN, WRITE_TOKEN

    local_hub.create("tester/open", private=False, repo_type="space")
    commands = [
        (WRITE_TOKEN, ["--push-to-space", "tester/board"]),
        (WRITE_TOKEN, ["--push-to-space", "tester/board"]),
        (WRITE_TOKEN, ["--push-to-space", "tester/open"]),
        (READ_TOKEN, ["--push-to-space", "tester/other"]),
        (WRITE_TOKEN, ["--push-to-space", "tester/public", "--public"]),
    ]
    done = local_hub.python(PUSH, json.dumps(commands), str(COMPARED), timeout=300)
    assert done.returncode == 0, done.stderr
    made, again, is_public, refused, public = json.loads(done.stdout)
    assert [result[0] for result in (made, again, public)] == [0, 0, 0]
    assert made[1] == f"pushed: {local_hub.url}/spaces/tester/board\n"
    [commit] = local_hub.commits("tester/board")  # the second push changed nothing
    assert (commit["repo_type"], commit["added"]) == ("space", ["README.md", "index.html"])
    files = local_hub.files("tester/board", repo_type="space")
    assert {name: files[name] for name in commit["added"]} == board_space_files(board_page(board_rows([COMPARED])))
    assert b"sdk: static" in files["README.md"]
    assert local_hub.repository("tester/board", repo_type="space")["private"]
    assert not local_hub.repository("tester/public", repo_type="space")["private"]
    assert is_public[0] == refused[0] == 2
    assert "the Space tester/open exists and is public" in is_public[2]
    assert "the Hub refuses this token for the Space tester/other" in refused[2]
    assert local_hub.commits("tester/open") == local_hub.commits("tester/other") == []


def test_a_page_with_a_token_in_it_is_not_pushed():
    with pytest.raises(InputError, match=r"index\.html holds"):
        board_space_files("<p>hf_" + "LocalWriteToken" + "x" * 19 + "</p>")
