"""One YAML file describes one comparison: a base recipe, the defences, the seeds and the attacks."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from hf_privacy.arguments import check_number, check_seed, check_whole, unknown_key
from hf_privacy.atomic_file import write_atomically
from hf_privacy.defenses import trainer_class
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside
from hf_privacy.recipe import EXTRA_ATTACKS, Recipe, RunFolder, read_yaml
from hf_privacy.recipe.config import checked, set_dotted
from hf_privacy.recipe.folder import PRIVATE

# Of the file with a comparison's table.
FORMAT = "hf_privacy comparison 1"
# What a comparison says elsewhere, or differs in from run to run.
_NOT_OVERRIDDEN = {
    "output_dir": "set output_dir at the top level of the comparison",
    "defense": "each of the defences names its own",
    "critical_weight_rewind": "set it under the defences it goes with",
    "name": "set name at the top level of the comparison",
}


@dataclass(frozen=True)
class Entry:
    """One defence of a comparison: what it changes in the base recipe.

    Parameters
    ----------
    defense : str, optional
        The recipe's ``defense``; by default the entry's own name.
    title : str, optional
        What table and plot call it; by default its name.
    model, training : dict
        Merged into the base recipe's sections.
    critical_weight_rewind : dict, optional
        Arguments of the callback that goes with the defence.
    host : str, optional
        The entry this one builds on and is set against. By default the baseline; for weight rewinding the entry that
        is the same without it.
    """

    defense: str | None = None
    title: str | None = None
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    critical_weight_rewind: dict | None = None
    host: str | None = None


@dataclass(frozen=True)
class Cell:
    """One training of a comparison: an entry under one seed, with its recipe and folder."""

    name: str
    seed: int
    recipe: Recipe

    @property
    def folder(self) -> RunFolder:
        """Where its model, report and record are."""
        return RunFolder(Path(self.recipe.output_dir))

    @property
    def label(self) -> str:
        """For a line of progress."""
        return f"{self.name}, seed {self.seed}"


@dataclass
class Comparison:
    """A comparison, whole: what `hf-privacy compare` reads.

    A seed s is one target of each defence: ``training.seed`` and ``data.member_seed`` are s. The members are drawn
    anew from the base recipe's pool, alike for all defences, so that figures of one seed are pairs; and the reference
    models of a defence, which depend on the pool alone, serve all its seeds.

    Parameters
    ----------
    recipe : str or dict
        The base recipe: a file, relative to the comparison's, or the recipe itself.
    defenses : dict of str to Entry
        What is compared, each by a name, at least one; the first without defence and weight edits is the baseline that
        others are set against.
    output_dir : str
        The folder that the comparison is kept in.
    name : str, optional
        What table and plot call the comparison.
    seeds : list of int
        At least 2, since one training gives no interval; or a single one with ``audit.targets`` of at least 2 in the
        recipe: then means and intervals are over the targets of that audit, the further ones taken from the
        reference models.
    overrides : dict
        Sections and keys of the recipe for all defences.
    attacks : list of str
        Names of attacks, as in the reports, that get columns; `EXTRA_ATTACKS` and functions of your own
        (``module:name``) are made because they are named here.
    fpr : float
        The false positive rate of the table's TPR; one of ``audit.fprs``.
    workers : int, optional
        Processes side by side; by default one a core on CPU, one on a GPU.

    Examples
    --------
    >>> comparison = Comparison.from_dict({"recipe": {"model": {"name_or_path": "timm/resnet18"}},
    ...                                    "defenses": {"none": {}, "ccl": {"training": {"alpha": 0.5}}}})
    >>> cell = comparison.cells("ccl")[2]
    >>> cell.seed, cell.recipe.defense, cell.recipe.training, cell.recipe.output_dir
    (2, 'ccl', {'alpha': 0.5, 'seed': 2}, 'runs/comparison/ccl/seed_2')
    >>> Comparison.from_dict({"recipe": {}, "defences": {}})
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: unknown key 'defences' in the comparison: did you mean 'defenses'?
    """

    recipe: str | dict = ""
    defenses: dict = field(default_factory=dict)
    output_dir: str = "runs/comparison"
    name: str | None = None
    seeds: list = field(default_factory=lambda: [0, 1, 2])
    overrides: dict = field(default_factory=dict)
    attacks: list = field(default_factory=lambda: ["lira", "rmia"])
    fpr: float = 0.01
    workers: int | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, folder: Path = Path()) -> Comparison:
        """Build and check a comparison; ``recipe`` is looked for relative to ``folder``."""
        arguments = _checked_keys(cls, values, "the comparison")
        if not arguments.get("recipe"):
            raise InputError("recipe is not set: the comparison must name its base recipe")
        if isinstance(arguments["recipe"], str):
            arguments["recipe"] = read_yaml(folder / arguments["recipe"])
        defenses = {}
        for name, entry in arguments.get("defenses", {}).items():
            where = f"defence {name!r}"
            if not isinstance(entry, (Mapping, type(None))):
                raise InputError(f"{where} is {entry!r}: pass a mapping of {', '.join(f.name for f in fields(Entry))}")
            defenses[name] = Entry(**_checked_keys(Entry, entry or {}, where))
        comparison = cls(**{**arguments, "defenses": defenses})
        comparison.check()
        return comparison

    @classmethod
    def load(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Comparison:
        """Read a YAML file; ``overrides`` are dotted keys, as on the command line."""
        values = read_yaml(path)
        for key, value in (overrides or {}).items():
            set_dotted(values, key, value)
        return cls.from_dict(values, folder=Path(path).parent)

    def save(self, path: str | Path) -> None:
        """Write it as YAML, base recipe included, whole or not at all: workers read it."""
        write_atomically(Path(path), yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True).encode())

    def check(self) -> None:
        """Refuse what can be seen to be wrong without touching data or model."""
        if not self.defenses:
            raise InputError("defenses is empty: name at least one, such as none: {}")
        for seed in self.seeds:
            check_seed(seed, name="an entry of seeds")
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds or (len(self.seeds) == 1 and not self.by_targets):
            raise InputError(
                f"seeds is {self.seeds}: pass at least 2 different ones, since one gives no interval, or one with "
                "overrides.audit.targets of at least 2"
            )
        if not self.attacks or any(not isinstance(attack, str) for attack in self.attacks):
            raise InputError(f"attacks is {self.attacks}: name at least one, such as lira")
        if self.workers is not None:
            check_whole("workers", self.workers, at_least=1)
        check_number("fpr", self.fpr, 0.0, 1.0, low_open=True, high_open=True)
        for key, way_out in _NOT_OVERRIDDEN.items():
            if key in self.overrides:
                raise InputError(f"overrides.{key} is set: {way_out}")
        Recipe.from_dict(self.recipe)
        self.common_recipe()  # before each defence puts its own in place
        for name, entry in self.defenses.items():
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+-]*", name):
                own = f" with defense: {name} below it" if isinstance(name, str) and is_outside(name) else ""
                raise InputError(f"defence {name!r} is no name for a folder: use letters, digits, _, + and -{own}")
            if name == PRIVATE:
                raise InputError(f"defence {name!r} has the name of the comparison's private folder: choose another")
            if entry.host is not None and (entry.host not in self.defenses or entry.host == name):
                others = ", ".join(other for other in self.defenses if other != name)
                raise InputError(f"host of defence {name!r} is {entry.host!r}: name another of them, {others}")
            if "seed" in entry.training:
                raise InputError(f"training.seed of defence {name!r} is set: seeds are set by seeds")
            self._check_audit(self._recipe_of(name, self.seeds[0]))

    def _check_audit(self, recipe: Recipe) -> None:
        audit = recipe.audit
        if audit.stop_when_still is not None:
            raise InputError(
                "audit.stop_when_still is set: defences are compared by the same number of references; leave it out"
            )
        if audit.depth != "full":
            raise InputError(f"audit.depth is {audit.depth!r}: a comparison rests on reference models; use 'full'")
        if not any(abs(fpr - self.fpr) < 1e-12 for fpr in audit.fprs):
            raise InputError(f"fpr is {self.fpr} and audit.fprs is {audit.fprs}: add it there")

    @property
    def by_targets(self) -> bool:
        """Whether means are over the targets of one audit, and not over seeds."""
        return len(self.seeds) == 1 and self._n_targets() >= 2

    def _n_targets(self) -> int:
        targets = (_merged(self.recipe, self.overrides).get("audit") or {}).get("targets", 1)
        return targets if isinstance(targets, int) else 1  # what is no number is refused with the recipe

    def common_recipe(self) -> Recipe:
        """The recipe as it is before a defence puts its own in place; reading it imports no defence."""
        return Recipe.from_dict(_merged(self.recipe, self.overrides))

    def cells(self, name: str) -> list[Cell]:
        """The trainings of one defence, one a seed, with their whole recipes."""
        # The adaptive attack on defended outputs: hidden scores do not hide the label.
        adaptive = ["label_only"] if self.defends_outputs(name) else []
        return [Cell(name, seed, self._recipe_of(name, seed, adaptive)) for seed in self.seeds]

    def title_of(self, name: str) -> str:
        """What table and plot call a defence."""
        return self.defenses[name].title or name

    def references_dir(self, name: str) -> Path:
        """The store of the reference models that a defence's seeds share."""
        return Path(self.output_dir) / name / PRIVATE / "references"

    def defended_references_dir(self, name: str) -> Path:
        """The store of the same models' signals as a prediction-time defence gives them out."""
        return Path(self.output_dir) / name / PRIVATE / "defended_references"

    def defends_outputs(self, name: str) -> bool:
        """Whether the defence has a prediction-time part, so that plain and defended outputs are both audited."""
        return trainer_class(self._defense_of(name)).has_output_defense

    def host_of(self, name: str) -> str | None:
        """The entry this one builds on: as named, or for weight rewinding the entry that is the same without it."""
        if self.defenses[name].host is not None:
            return self.defenses[name].host
        if self.defenses[name].critical_weight_rewind is None:
            return None
        return next((other for other in self.defenses if self._is_host(other, name)), None)

    @property
    def baseline(self) -> str | None:
        """The first entry without defence and weight edits."""
        plain = (
            name
            for name, entry in self.defenses.items()
            if self._defense_of(name) == "none" and entry.critical_weight_rewind is None
        )
        return next(plain, None)

    def _is_host(self, other: str, name: str) -> bool:
        mine, theirs = self.defenses[name], self.defenses[other]
        return (
            theirs.critical_weight_rewind is None
            and self._defense_of(other) == self._defense_of(name)
            and (theirs.model, theirs.training) == (mine.model, mine.training)
        )

    def _defense_of(self, name: str) -> str:
        return self.defenses[name].defense or name

    def _recipe_of(self, name: str, seed: int, adaptive: Sequence[str] = ()) -> Recipe:
        entry = self.defenses[name]
        values = _merged(self.recipe, self.overrides)
        values = _merged(values, {"model": entry.model, "training": {**entry.training, "seed": seed}})
        training = values["training"]
        if training.get("report_to") not in (None, "none", []):  # a run of its own for each, in trackers
            named = [training.get("run_name") or self.name, name, f"seed_{seed}"]
            training["run_name"] = "-".join(filter(None, named))
        audit = dict(values.get("audit") or {})
        extras = [attack for attack in self.attacks if attack in EXTRA_ATTACKS or is_outside(attack)]
        audit["extra_attacks"] = list(dict.fromkeys([*(audit.get("extra_attacks") or []), *extras, *adaptive]))
        # Several targets, and budgets over them, belong to a single audit: several seeds take their place.
        audit |= {"targets": self._n_targets() if self.by_targets else 1, "budgets": []}
        values |= {
            "name": self.name or values.get("name"),
            "output_dir": str(Path(self.output_dir) / name / f"seed_{seed}"),
            "defense": self._defense_of(name),
            "critical_weight_rewind": entry.critical_weight_rewind,
            "data": {**(values.get("data") or {}), "member_seed": seed},
            "audit": audit,
        }
        return Recipe.from_dict(values)


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with nested mappings merged and everything else replaced."""
    result = copy.deepcopy(dict(values))
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _merged(result[key], change)
        else:
            result[key] = copy.deepcopy(change)
    return result


def _checked_keys(cls: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    kinds = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_key(str(key), known, where)
        arguments[key] = checked(value, kinds[key], key if cls is Comparison else f"{key} of {where}")
    return arguments
