"""Build the site: copy and generate its pages, run Sphinx with the settings of pyproject.toml, follow every link."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from generated import commands_page, documented_files, keys_page, room_page, rooms, top_page
from links import dead_links
from pages import TOP, as_site_page, page_files

ROOT = Path(__file__).resolve().parents[2]


def settings() -> dict[str, Any]:
    """Sphinx's settings: the table ``[tool.sphinx]`` of pyproject.toml."""
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["sphinx"]


def write_sources(folder: Path) -> list[Path]:
    """Write all pages of the site below ``folder``; what they link to that is no page, relative to the repository."""
    documented = documented_files(ROOT)
    taken: dict[Path, None] = {}
    for page in page_files(ROOT):
        text = as_site_page(
            (ROOT / page).read_text(encoding="utf-8"),
            page,
            ROOT,
            documented=documented,
            linked=lambda path: taken.setdefault(path),
        )
        title = "" if "\n# " in f"\n{text}" else f"# {page.parent.name}: {page.stem}\n\n"
        _write(folder / (TOP if page == Path("README.md") else page), title + text)
    _write(folder / "keys.md", keys_page())
    _write(folder / "commands.md", commands_page())
    _write(folder / "api" / "hf_privacy.md", top_page())
    _write(folder / "api" / "errors.md", "# hf_privacy.errors\n\n" + _errors())
    for name in rooms():
        _write(folder / "api" / f"{name}.md", room_page(name))
    with (folder / TOP).open("a", encoding="utf-8") as file:
        file.write(_contents())
    for path in taken:  # pictures are looked for beside their page
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return list(taken)


def _errors() -> str:
    return "```{eval-rst}\n.. automodule:: hf_privacy.errors\n   :members:\n```\n"


def _contents() -> str:
    """The site's contents, for the column beside each page."""
    guides = [page for page in page_files(ROOT) if page.parts[:2] == ("recipes", "guides")]
    recipes = [page for page in page_files(ROOT) if page.parts[0] == "recipes" and page not in guides]
    cards = [page for page in page_files(ROOT) if page.parts[0] == "model_cards"]
    index = Path("recipes/guides/README.md")
    groups = {
        "Guides": [index, *(page for page in guides if page != index)],
        "Reference": [Path("commands.md"), Path("keys.md"), Path("api/hf_privacy.md"), Path("api/errors.md")]
        + [Path(f"api/{name}.md") for name in rooms()],
        "Recipes and measurements": recipes,
        "Model cards": cards,
        "Changes": [Path("CHANGELOG.md")],
    }
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
        + "\n".join(page.with_suffix("").as_posix() for page in pages)
        + "\n```\n"
        for caption, pages in groups.items()
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Build into ``--output`` and print where the site begins."""
    try:
        from sphinx.application import Sphinx
    except ImportError:
        print(
            "the site needs Sphinx, of the extra docs, and that Python 3.11: `make docs` installs it", file=sys.stderr
        )
        return 2
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", help="folder of the site")
    output = parser.parse_args().output.resolve()
    source = output.parent / f"{output.name}_source"
    for folder in (source, output):
        shutil.rmtree(folder, ignore_errors=True)
    files = write_sources(source)
    app = Sphinx(
        srcdir=source,
        confdir=None,
        outdir=output,
        doctreedir=source / ".doctrees",
        buildername="html",
        confoverrides=settings(),
        warningiserror=True,
    )
    app.build()
    if app.statuscode:
        return app.statuscode
    for path in files:
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, output / path)
    dead = dead_links(output)
    for line in dead:
        print(line, file=sys.stderr)
    if not dead:
        print(f"the site: {output / 'index.html'}")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
