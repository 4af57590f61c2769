"""No file imports itself by way of others: in the package, and among the scripts of a folder of recipes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted({file.parent for file in (ROOT / "recipes").rglob("*.py")})


def module_of(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported(node: ast.AST) -> Iterator[str]:
    """What a file imports, inside functions too; not what only types need."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (name.name for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield from (f"{child.module}.{name.name}" for name in child.names)
        yield from imported(child)


def imports_of(files: list[Path], root: Path) -> dict[str, set[str]]:
    """Each file's module, and the modules among these that it imports."""
    trees = {module_of(file, root): ast.parse(file.read_text()) for file in files}
    # A name imported from a module is that module, unless it is a module itself.
    return {
        module: {name if name in trees else name.rpartition(".")[0] for name in imported(tree)} & set(trees)
        for module, tree in trees.items()
    }


def refuse_circles(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other in a circle: {' → '.join(reversed(error.args[1]))}")


def test_no_circle_in_the_package():
    refuse_circles(imports_of(sorted((ROOT / "hf_privacy").rglob("*.py")), ROOT))


@pytest.mark.parametrize("room", ["defenses", "reports", "unlearning"])
def test_no_circle_among_the_folders_of_a_room(room):
    """So that a folder of a method imports the base, and the base no method."""
    graph: dict[str, set[str]] = {}
    for module, names in imports_of(sorted((ROOT / "hf_privacy" / room).rglob("*.py")), ROOT).items():
        part, *others = (".".join(name.split(".")[:3]) for name in (module, *names))
        graph.setdefault(part, set()).update(set(others) - {part})
    refuse_circles(graph)


@pytest.mark.parametrize("folder", SCRIPTS, ids=lambda folder: str(folder.relative_to(ROOT / "recipes")))
def test_no_circle_in_a_folder_of_recipes(folder):
    refuse_circles(imports_of(sorted(folder.glob("*.py")), folder))


def test_a_circle_is_found_inside_functions_and_not_among_types(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    from b import g\n")
    (tmp_path / "b.py").write_text("if TYPE_CHECKING:\n    from a import f\n")
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    refuse_circles(imports_of(files, tmp_path))
    (tmp_path / "b.py").write_text("from a import f\n")
    with pytest.raises(pytest.fail.Exception, match=r"in a circle: (a → b → a|b → a → b)"):
        refuse_circles(imports_of(files, tmp_path))
