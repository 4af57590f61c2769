"""What pages say: links lead somewhere, figures are those of the tables they name, no method or paper is left out."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from guides.pages import GUIDES

from hf_privacy.attack_table import ATTACKS
from hf_privacy.defenses import DEFENSES, METHODS
from hf_privacy.unlearning import UNLEARNERS

ROOT = GUIDES.parents[1]
SITE = ROOT / "recipes" / "site"


def site_module(name: str):
    """A script of the site's folder, imported from where it stands."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = site_module("pages")


def slugs(text: str) -> set[str]:
    """The places of a Markdown page, as GitHub and the site call them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES.page_files(ROOT), ids=str)
def test_links_of_a_page_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in PAGES.links(text):
        if PAGES.is_elsewhere(target):
            assert not target.startswith("#") or target[1:] in slugs(text), f"{page}: {target}"
            continue
        name, _, place = target.partition("#")
        path = (ROOT / page).parent / name
        assert path.exists(), f"{page} links to {target}"
        if place:
            path = path / "README.md" if path.is_dir() else path
            assert place in slugs(path.read_text(encoding="utf-8")), f"{page}: no place {target}"


def rows(text: str) -> list[list[str]]:
    """The cells of every row of a page's tables."""
    found = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in found if not set(row) <= set("|-: ")]


@pytest.mark.parametrize("page", sorted(GUIDES.glob("*.md")), ids=lambda path: path.name)
def test_figures_of_a_guide_are_those_of_the_page_linked_above_them(page):
    text = page.read_text(encoding="utf-8")
    for table in re.finditer(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        figures = [row for row in rows(table[0]) if any(re.search(r"\d\.\d", cell) for cell in row[1:])]
        if not figures:
            continue
        target = [link for link in PAGES.links(text[: table.start()]) if not PAGES.is_elsewhere(link)][-1]
        source = page.parent / target.partition("#")[0]
        there = rows((source / "README.md" if source.is_dir() else source).read_text(encoding="utf-8"))
        for name, *cells in figures:
            same = [row for row in there if row[0] == name and all(any(cell in one for one in row) for cell in cells)]
            assert same, f"{page.name}: no row of {target} has {name}: {cells}"


def test_what_is_quoted_of_a_report_is_in_it():
    quotes = re.findall(r"^> (.*)$", (GUIDES / "read_a_report.md").read_text(encoding="utf-8"), re.MULTILINE)
    card = (ROOT / "model_cards" / "location30-mlp" / "README.md").read_text(encoding="utf-8")
    assert quotes
    for quote in quotes:
        assert quote in card


METHODS_PAGE = (GUIDES / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*DEFENSES, *UNLEARNERS, "critical_weight_rewind"])
def test_the_page_of_methods_has_every_method_with_its_module_and_paper(name):
    table = {**DEFENSES, **UNLEARNERS, "critical_weight_rewind": METHODS["CriticalWeightRewindCallback"]}
    file = table[name].partition(":")[0].replace(".", "/") + ".py"
    (entry,) = [entry for entry in re.split(r"^(?:- |#)", METHODS_PAGE, flags=re.MULTILINE) if f"(`{name}`" in entry]
    assert f"[code](../../{file})" in entry
    for paper in re.findall(r'"id": "arXiv:([\d.]+)"', (ROOT / file).read_text(encoding="utf-8")):
        assert f"https://arxiv.org/abs/{paper}" in entry


def test_the_page_of_methods_has_every_attack_and_its_paper():
    for attack in ATTACKS.values():
        for paper in re.findall(r"arXiv ([\d.]+)", attack.paper):
            assert f"https://arxiv.org/abs/{paper}" in METHODS_PAGE, attack.title
    source = (ROOT / "hf_privacy" / "attacks" / "__init__.py").read_text(encoding="utf-8")
    for module in re.findall(r"^from hf_privacy\.attacks\.(\w+) import", source, re.MULTILINE):
        if module not in ("length_bins", "text_overlap"):  # parts of others
            assert f"(../../hf_privacy/attacks/{module}.py)" in METHODS_PAGE


def test_the_site_has_a_page_for_all_there_is(tmp_path, monkeypatch):
    from hf_privacy.cli.arguments import COMMANDS
    from hf_privacy.recipe.keys import section_keys, sections

    monkeypatch.syspath_prepend(str(SITE))
    build = site_module("build")
    taken = build.write_sources(tmp_path)
    assert Path("recipes/defenses/location30.png") in taken
    written = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.md")}
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert written == {"index", *(name for name in written if f"\n{name}\n" in index)}
    keys, commands, methods = (
        (tmp_path / page).read_text(encoding="utf-8")
        for page in ("keys.md", "commands.md", "recipes/guides/methods.md")
    )
    for name in ("", *sections()):
        for key in section_keys(name):
            assert f"- **`{key.name}`** (" in keys
    for name in COMMANDS:
        assert f"usage: hf-privacy {name} " in commands
    assert "[code](#hf_privacy.attacks.lira)" in methods
    assert "[code](#hf_privacy.defenses.RelaxLossTrainer)" in methods
    assert build.settings()["html_theme"] == "furo"


def test_a_link_to_nowhere_stops_the_site():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.md, which is not there"):
        PAGES.as_site_page("[x](nowhere.md)", Path("README.md"), ROOT, documented={}, linked=list)


def test_code_is_no_link():
    assert list(PAGES.links("`[a](b)` [c](d)\n```\n[e](f)\n```\n![g](h.png)")) == ["d", "h.png"]


def test_dead_links_of_a_built_site_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#x">b</a> <a href="c.html">c</a> <img src="https://e.org/i.png">')
    (tmp_path / "b.html").write_text('<p id="y"></p><a href="a.html">a</a>')
    assert site_module("links").dead_links(tmp_path) == [
        "a.html links to b.html#x, and there is no such place in that page",
        "a.html links to c.html, which is not there",
    ]
