"""Reading the command line: YAML sets the values, the command line wins, an unknown key is an error."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from hf_privacy.arguments import unknown_key
from hf_privacy.cli.help_texts import COMMANDS, EPILOGS, MAIN, WIDTH
from hf_privacy.cli.output import heeded
from hf_privacy.defenses import DEFENSES
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside
from hf_privacy.recipe.config import Recipe

CURVATURE_VECTORS = "10"  # as in the paper
_WITHOUT_RECIPE = ("demo", "init", "keys", "metrics", "env")
# Those that print figures.
_WITH_FIGURES = ("train", "unlearn", "audit", "references", "report", "push", "compare", "metrics", "env")
SHELLS = ("bash", "zsh", "fish")


@dataclass
class Options:
    """What a command was given.

    Attributes
    ----------
    config : path, optional
        The recipe's file.
    folder : path, optional
        The folder of a trained model, in place of a recipe.
    overrides : dict
        Dotted recipe keys from the command line.
    flags : dict
        The command's own switches.
    spelled : dict
        Flags that are short for a recipe key, by the key: what messages call it.
    """

    config: str | None = None
    folder: str | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    flags: dict[str, object] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)

    def recipe(self) -> Recipe:
        """The recipe of ``config``, or the one saved with the model in ``folder``, with the overrides.

        One that asks for no bars (``training.disable_tqdm``) gets none of any library from here on.

        Raises
        ------
        InputError
            When neither is given, or the folder holds no run.
        """
        if self.config is not None and self.folder is not None:
            raise InputError(
                "--config and --folder are both given: pass one; the folder of a recipe is its output_dir"
            )
        if self.config is not None:
            recipe = Recipe.load(self.config).override(self.overrides)
            if not is_outside(recipe.defense) and recipe.defense not in DEFENSES:  # known before anything is imported
                raise unknown_key(recipe.defense, sorted(DEFENSES), "defense")
            return heeded(recipe)
        if self.folder is not None:
            from hf_privacy.recipe import RunFolder

            file = RunFolder(Path(self.folder)).recipe_file
            if not file.is_file():
                raise InputError(f"{self.folder!r} is no folder that `hf-privacy train` made: pass --config instead")
            return heeded(Recipe.load(file).override({**self.overrides, "output_dir": self.folder}))
        raise InputError("no recipe: pass --config recipe.yaml, or --folder with a model that `hf-privacy train` made")


def parse(arguments: list[str]) -> tuple[Callable[[Options], int], Options]:
    """The command's function and its options; prints help and exits as argparse does.

    Examples
    --------
    >>> _, options = parse(["train", "--config", "r.yaml", "--training.learning_rate", "1e-3", "--data.seed=1"])
    >>> options.overrides
    {'training.learning_rate': '1e-3', 'data.seed': '1'}
    """
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    if known.command is None and rest:
        raise InputError(f"unknown argument {rest[0]!r} and no command: pass one of {', '.join(COMMANDS)}")
    if known.command is None:
        parser.print_help()
        raise SystemExit(2)
    flags = {
        k: v
        for k, v in vars(known).items()
        if k not in ("command", "config", "folder", "canaries", "curvature", "engine")
    }
    if flags.get("format") == "json":
        flags["json"] = True
    options = Options(
        config=getattr(known, "config", None),
        folder=getattr(known, "folder", None),
        overrides=_overrides(rest, command=known.command, flags=_flags_of(parser, known.command)),
        flags=flags,
    )
    if getattr(known, "canaries", None) is not None:
        options.overrides["audit.canaries"] = known.canaries
        options.spelled["audit.canaries"] = "canaries"
    if getattr(known, "engine", None) is not None:
        options.overrides["engine.name"] = known.engine
    # Short for the section that the engine is of.
    section = "overrides.audit." if known.command == "compare" else "audit."
    for key in [key for key in options.overrides if key.startswith("engine.")]:
        options.overrides[section + key] = options.overrides.pop(key)
        options.spelled[section + key] = "engine" if key == "engine.name" and known.engine is not None else key
    if getattr(known, "curvature", False):
        options.overrides.setdefault("audit.curvature", CURVATURE_VECTORS)
    return import_module(f"hf_privacy.cli.{known.command}").run, options


_Help = partial(argparse.RawDescriptionHelpFormatter, width=WIDTH)


class _PrintCompletion(argparse.Action):
    """Print the script of a shell, and end."""

    def __call__(self, parser, namespace, values, option_string=None) -> NoReturn:
        from hf_privacy.cli.completion import completion_script

        whole = _parser()
        print(completion_script(whole, commands_of(whole), str(values)))
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as everything else does: in one sentence, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    import hf_privacy

    parser = _Parser(
        allow_abbrev=False,
        prog="hf-privacy",
        description="Fine-tune with a privacy defence, measure what leaks, publish with the proof.",
        epilog=MAIN,
        formatter_class=_Help,
    )
    parser.add_argument(
        "--print-completion", choices=SHELLS, action=_PrintCompletion, help="print a script that completes words"
    )
    parser.add_argument("--version", action="version", version=f"hf-privacy {hf_privacy.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    for name, text in COMMANDS.items():
        takes_recipe = name not in _WITHOUT_RECIPE
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=EPILOGS[name],
            usage="%(prog)s [options]" if name == "audit" else None,  # it has many, each listed below
            formatter_class=_Help,
            allow_abbrev=False,
        )
        if takes_recipe:
            command.add_argument(
                "--config", metavar="FILE", help="the comparison (YAML)" if name == "compare" else "the recipe (YAML)"
            )
        if takes_recipe and name not in ("train", "compare"):
            command.add_argument("--folder", metavar="DIR", help="a trained model's folder, in place of --config")
        if name == "demo":
            command.add_argument(
                "--output-dir", default="runs/demo", metavar="DIR", help="where it is made (default: runs/demo)"
            )
        if name == "compare":
            # Set by the comparison itself for the processes that work beside it.
            command.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
            _add_board_arguments(command)
        if name in ("audit", "compare"):
            command.add_argument(
                "--engine",
                choices=("local", "ray"),
                help="where references are trained; --engine.gpus 0.25 and so on set it up",
            )
        if name == "audit":
            _add_elsewhere_arguments(command)
            # Set by the audit itself for the processes that train references beside it.
            command.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
            command.add_argument(
                "--replace-report",
                action="store_true",
                help="let this report take the place of a deeper one of the same weights",
            )
            command.add_argument(
                "--canaries", metavar="M", help="also bound ε from below with M canaries (or audit.canaries)"
            )
            command.add_argument(
                "--curvature",
                action="store_true",
                help=f"also attack by input curvature, with {CURVATURE_VECTORS} vectors (or audit.curvature)",
            )
            command.add_argument("--plan", metavar="FILE", help="take the references of this plan from its store")
        if name == "references":
            _add_references_arguments(command)
        if name in ("audit", "references"):
            command.add_argument("--store", metavar="URL", help="where the plan's references are (its folder)")
        if name == "env":
            command.add_argument("--cache", action="store_true", help="size, entries, limit and folder of the cache")
            command.add_argument("--clear", action="store_true", help="with --cache: delete what nobody uses now")
        if name == "unlearn":
            command.add_argument(
                "--queue", metavar="FILE", help="requests to serve in order, one JSON object a line (JSON lines)"
            )
        if name == "metrics":
            _add_metrics_arguments(command)
        if name == "report":
            command.add_argument(
                "--format",
                choices=("table", "json", "dpia-md"),
                default="table",
                help="json, or a paragraph for an impact assessment, to standard output; nothing is written then",
            )
        if name in ("init", "train"):
            _add_first_arguments(command, name)
        if name == "keys":
            command.add_argument(
                "name", nargs="?", metavar="NAME", help="a section, defence or unlearner, compare, or one key"
            )
            command.add_argument("--json-schema", action="store_true", help="print the schema, for editors")
        if name == "push":
            command.add_argument("--dry-run", action="store_true", help="pass the gate, list the commit, send nothing")
            command.add_argument("--repo-id", metavar="ID", help="owner/name on the Hub (or push.repo_id)")
            command.add_argument(
                "--allow-unaudited", action="store_true", help="push without a report; the card says so"
            )
        if name in _WITH_FIGURES:
            command.add_argument("--json", action="store_true", help="print one JSON document in place of text")
        command.add_argument("--quiet", action="store_true", help="print nothing but errors (and what --json asks)")
    return parser


def _add_references_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("plan", "run", "status", "collect"), help="what to do; see below")
    command.add_argument("--output", metavar="FILE", help="the plan to write (plan)")
    command.add_argument("--plan", metavar="FILE", help="the plan: a file, or its URL (run, status, collect)")
    command.add_argument("--ranks", metavar="LIST", help="numbers of references, such as 8-15 or 0,3,5 (run)")
    command.add_argument("--rank", metavar="P", help="train this machine's share: number P from 0 (run)")
    command.add_argument("--world", metavar="W", help="of W machines (run)")
    command.add_argument("--scratch", metavar="DIR", help="local folder to train in (run; default: a temporary one)")


def _add_elsewhere_arguments(command: argparse.ArgumentParser) -> None:
    """Of a model that was trained elsewhere."""
    group = command.add_argument_group("a model trained elsewhere")
    group.add_argument("--model", metavar="NAME", help="a saved model or adapter: a folder or Hub id")
    group.add_argument("--data", metavar="DATA", help="its rows: a file, folder or Hub id")
    group.add_argument("--label", metavar="NAME", help="the column of the classes")
    group.add_argument("--member-column", metavar="NAME", help="true where it was trained on (or data.split_file)")
    group.add_argument("--members", metavar="DATA", help="rows it was trained on, in place of --data")
    group.add_argument("--nonmembers", metavar="DATA", help="with it, rows it was not trained on")
    group.add_argument("--base", metavar="NAME", help="the checkpoint that --model was fine-tuned from")
    group.add_argument(
        "--scores", nargs="?", const="", metavar="FILE", help="a table of its scores, where it cannot be opened"
    )
    group.add_argument("--score-columns", metavar="A,B", help="of that table, where their names do not say it")
    group.add_argument("--score-kind", metavar="KIND", help="probability, log_probability, logit or loss")


def _add_first_arguments(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("--data", metavar="DATA", help="a file, folder or Hub id, or digits")
    command.add_argument("--label", metavar="COLUMN", help="the column of the classes; found where it is called so")
    command.add_argument("--model", metavar="NAME", help="a Hub id or folder; by default a small one that suits")
    if name == "init":
        command.add_argument("--output", metavar="FILE", help="what is written (default: recipe.yaml)")
        command.add_argument("--force", action="store_true", help="write over a file that is there")
        command.add_argument(
            "--from", nargs="?", const="", dest="copy_of", metavar="NAME", help="copy a shipped recipe, or list them"
        )


def _add_board_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--board", nargs="+", metavar="RESULT", help="train nothing: draw result files on one page (board.html)"
    )
    command.add_argument("--output", metavar="FILE", help="with --board: the page to write")
    command.add_argument("--push-to-space", metavar="ID", help="with --board: push the page to the Space owner/name")
    command.add_argument("--public", action="store_true", help="with --push-to-space: make a new Space public")
    command.add_argument("--dry-run", action="store_true", help="with --push-to-space: list the files, send nothing")


def _add_metrics_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("list", "push"), help="print names and what each measures, or push")
    command.add_argument("names", nargs="*", metavar="NAME", help="the metrics to push")
    command.add_argument("--all", action="store_true", help="push every metric")
    command.add_argument(
        "--namespace", metavar="OWNER", help="user or organisation: each becomes the Space OWNER/NAME"
    )
    visibility = command.add_mutually_exclusive_group()
    visibility.add_argument("--private", action="store_false", dest="public", help="make new Spaces private (default)")
    visibility.add_argument("--public", action="store_true", help="make new Spaces public")
    command.add_argument("--revision", metavar="BRANCH", help="branch to commit to (default: main)")
    command.add_argument("--dry-run", action="store_true", help="list what would be sent, send nothing")
    command.set_defaults(public=False)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices


def _flags_of(parser: argparse.ArgumentParser, command: str) -> list[str]:
    actions = commands_of(parser)[command]._actions
    return [flag for action in actions if action.help != argparse.SUPPRESS for flag in action.option_strings]


def _overrides(rest: list[str], *, command: str, flags: list[str]) -> dict[str, str]:
    takes_recipe = "--config" in flags or command == "init"
    keys = [f"--{known.name}" for known in fields(Recipe)]
    overrides: dict[str, str] = {}
    position = 0
    while position < len(rest):
        word = rest[position]
        if not word.startswith("--"):
            raise InputError(f"unexpected argument {word!r}: recipe keys are set as --section.key value")
        key, separator, value = word[2:].partition("=")
        position += 1
        if not takes_recipe:
            raise unknown_key(word, flags, f"`hf-privacy {command}`, which takes no recipe keys")
        if "." not in key and f"--{key}" not in keys:
            close = difflib.get_close_matches(f"--{key}", [*flags, "--output_dir"], n=1, cutoff=0.75)
            if close and close[0] != f"--{key}":
                raise InputError(f"unknown flag --{key}: did you mean {close[0]}?")
        if not separator:
            if position == len(rest) or rest[position].startswith("--"):
                raise InputError(f"{word} has no value: pass {word} VALUE")
            value = rest[position]
            position += 1
        overrides[key] = value
    return overrides
