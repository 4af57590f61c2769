"""What is installed: recipes and types go along, extras are all in one, and nothing needs one operating system."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader of TOML")
ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
if not PYPROJECT.is_file():
    pytest.skip("the tests run without the repository", allow_module_level=True)
SETTINGS = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]

# Modules of the standard library that Windows lacks, and what of others it lacks.
POSIX_MODULES = {"crypt", "curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "termios", "tty"}
POSIX_NAMES = {
    module: frozenset(names.split())
    for module, names in {
        "os": """
            fork forkpty getuid geteuid getgid getegid getgroups getpgid getpgrp setsid setpgid killpg nice
            getpriority setpriority sched_getaffinity sched_setaffinity sched_yield getloadavg sysconf confstr statvfs
            fstatvfs uname chown lchown fchown mkfifo mknod chroot pipe2 posix_fadvise posix_fallocate posix_spawn
            preadv pwritev pread pwrite sendfile register_at_fork wait wait3 wait4 waitid O_CLOEXEC O_DIRECTORY
            O_NOFOLLOW O_NONBLOCK O_SYNC O_DSYNC O_DIRECT WNOHANG memfd_create eventfd fdatasync
            """,
        "signal": """
            SIGKILL SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGPIPE SIGCONT SIGSTOP SIGTSTP alarm setitimer
            pthread_kill pthread_sigmask sigwait pause siginterrupt
            """,
        "mmap": "MAP_SHARED MAP_PRIVATE MAP_POPULATE PROT_READ PROT_WRITE MADV_RANDOM MADV_WILLNEED",
        "socket": "AF_UNIX SO_REUSEPORT",
        "time": "clock_gettime CLOCK_MONOTONIC pthread_getcpuclockid tzset",
        "select": "poll epoll",
    }.items()
}
# Run by another file of the package alone, which asks where there is fork.
FORKED = {"hf_privacy/cli/worker_server.py"}


def needs_posix(source: str) -> Iterator[str]:
    """What a file takes from the operating system that Windows has not, and does not ask for first.

    Asking is ``hasattr(os, "nice")`` or ``getattr(…)`` in the same file, a look at ``os.name`` or ``sys.platform``
    around it, in its function or for a constant of the file, or an import inside ``try``.
    """
    if not any(word in source for word in (*POSIX_MODULES, *frozenset().union(*POSIX_NAMES.values()))):
        return
    tree = ast.parse(source)
    constants = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
    if any("sys.platform" in constant or "os.name" in constant for constant in constants):
        return
    asked = {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("hasattr", "getattr")
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    }

    def visit(node: ast.AST, guarded: bool) -> Iterator[str]:
        if isinstance(node, (ast.If, ast.IfExp, ast.FunctionDef)):
            around = ast.unparse(node if isinstance(node, ast.FunctionDef) else node.test)
            guarded = guarded or any(word in around for word in ("os.name", "sys.platform", "TYPE_CHECKING"))
        if isinstance(node, ast.Try):
            guarded = guarded or any("Error" in ast.unparse(handler.type or node) for handler in node.handlers)
        if isinstance(node, ast.Import) and not guarded:
            yield from (name.name for name in node.names if name.name.partition(".")[0] in POSIX_MODULES)
        if isinstance(node, ast.ImportFrom) and not guarded:
            names = POSIX_NAMES.get(node.module or "", frozenset())
            yield from ([node.module] if node.module in POSIX_MODULES else ())
            yield from (f"{node.module}.{name.name}" for name in node.names if name.name in names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and not guarded:
            known = POSIX_NAMES.get(node.value.id, frozenset())
            if node.attr in known and node.attr not in asked:
                yield f"{node.value.id}.{node.attr}"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, guarded)

    yield from visit(tree, False)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("def f():\n    import resource", ["resource"]),
        ("from signal import SIGKILL", ["signal.SIGKILL"]),
        ("import os\nos.kill(1, signal.SIGKILL)", ["signal.SIGKILL"]),
        ("n = len(os.sched_getaffinity(0))", ["os.sched_getaffinity"]),
        ("n = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1", []),
        ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", []),
        ("if os.name != 'nt':\n    os.nice(10)", []),
        ("os.replace('a', 'b')\nos.kill(1, signal.SIGTERM)", []),
    ],
    ids=str,
)
def test_what_windows_lacks_is_seen(source, found):
    assert list(needs_posix(source)) == found


def test_nothing_in_the_package_needs_one_operating_system():
    found = {
        str(path.relative_to(ROOT)): names
        for path in sorted((ROOT / "hf_privacy").rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in FORKED
        if (names := list(needs_posix(path.read_text(encoding="utf-8"))))
    }
    assert not found


def test_files_are_opened_with_their_encoding():
    # Windows reads text in its own code page unless it is told; ε and ≤ are in ours.
    missing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "hf_privacy").rglob("*.py"))
        if "_text(" in path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("read_text", "write_text")
        and not any(keyword.arg == "encoding" for keyword in node.keywords)
        and not node.args[: 1 if node.func.attr == "read_text" else 0]
    ]
    assert not missing


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "hf_privacy" / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_classifiers_begin_at_the_lowest_python():
    lowest = PROJECT["requires-python"].removeprefix(">=")
    versions = [entry.rpartition(" ")[2] for entry in PROJECT["classifiers"] if "Python :: 3." in entry]
    assert versions[0] == lowest
    assert [int(version.partition(".")[2]) for version in versions] == list(range(10, 10 + len(versions)))


def test_all_is_every_extra_but_the_developers_and_the_sites():
    (everything,) = PROJECT["optional-dependencies"]["all"]
    named = set(everything.removeprefix("hf-privacy[").removesuffix("]").split(","))
    assert named == set(PROJECT["optional-dependencies"]) - {"all", "dev", "docs"}


def test_a_wheel_takes_the_recipes_along_under_the_name_they_are_looked_for():
    wheel = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == {"recipes": "hf_privacy/shipped_recipes"}
    assert any(fnmatch("/recipes/text_classification/sst2_lora.yaml", pattern) for pattern in wheel["include"])
    # A prefix that is changed needs to be told where an editable install lies.
    assert SETTINGS["tool"]["hatch"]["build"]["dev-mode-dirs"] == ["."]


def test_the_lowest_versions_that_are_promised_are_those_that_are_locked():
    locked = dict(
        line.partition(";")[0].strip().split("==")
        for line in (ROOT / "requirements-lowest.lock").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    for requirement in PROJECT["dependencies"]:
        name, _, lowest = requirement.partition(">=")
        version = locked[name.replace("_", "-").lower()]
        # Where another package asks for more than we do, the lock has more.
        assert [int(part) for part in version.split(".")] >= [int(part) for part in lowest.split(".")], requirement
    assert "LOWEST=1" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
