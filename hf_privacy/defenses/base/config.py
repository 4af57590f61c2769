"""The arguments every privacy trainer takes: `TrainingArguments` with safe defaults and a release budget."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from transformers import TrainingArguments

from hf_privacy.arguments import check_number, seen
from hf_privacy.defenses.base.config_checks import check_fields
from hf_privacy.defenses.base.robust_evaluation import eval_attack_settings
from hf_privacy.errors import InputError
from hf_privacy.gate_fields import GateFields
from hf_privacy.hub import GateSettings
from hf_privacy.launch import launched_local_rank, launched_processes

AVERAGES = ("token", "example")


@dataclass
class PrivacyConfig(GateFields, TrainingArguments):
    """`TrainingArguments` for a model whose leakage will be measured and whose push passes the gate.

    All of `TrainingArguments` holds; what differs is listed here.

    Parameters
    ----------
    momentum : float, default 0.9
        Momentum of ``optim="sgd"``; the stock Trainer offers none.
    hub_private_repo : bool, default True
        Repositories are created private.
    hub_strategy : default "end"
        The only strategy accepted: pushes made while training would publish weights that no report speaks of.
    hub_create_pr : bool, default False
        Push as a pull request instead of to the branch.
    max_auc : float, optional
        Release budget: a push is refused when the upper end of the interval of any attack's AUC is above it.
    max_tpr_at_fpr : dict of float to float, optional
        Release budget: for each false positive rate, the highest true positive rate allowed (upper end likewise).
    max_extraction : float, optional
        Release budget of a language model: the largest share of its training texts that it may give back word for
        word beyond held-out texts (upper end likewise).
    max_unlearning_gap : float, optional
        Release budget of an unlearned model: the largest mean gap to retraining, as a share (0.012 is 1.2 points).
    max_retained_loss : float, optional
        Likewise: how much less of what was to be kept may be right than after retraining, as a share.
    max_perplexity_rise : float, optional
        Likewise, of a language model: by what share the perplexity of what was to be kept may be higher.
    require_unlearning : bool, default False
        A push is refused whose report has no unlearning section.
    min_depth, min_references, min_confidence
        The audit that must show that the budget is kept, see `hf_privacy.hub.check_gate`: with a budget a full one
        with 8 references by default, at confidence 0.95.
    allow_unaudited : bool, default False
        Lets a push without a report through; the card then says so.
    eval_attack : dict, optional
        `evaluate` also attacks: ``{"epsilon": 8 / 255}`` adds the accuracy under PGD-20 as ``eval_robust_accuracy``.
        Keys, defaults and units are those of
        :func:`~hf_privacy.defenses.base.robust_evaluation.eval_attack_settings`; on a command line it is JSON.
    use_cpu, ddp_backend
        Several processes launched on a machine without GPUs train together on its CPUs, over gloo, without asking.
    logging_nan_inf_filter : bool, default False
        A loss that is not a number is shown, not replaced.

    Raises
    ------
    InputError
        If a token is passed (it would be saved in clear with the arguments), a checkpoint push is asked for, a budget
        is no rate, an attack is no attack, the launcher's processes and the trainer's differ in number, or any field
        holds NaN, a number out of range, or another type than it says (``seed=None``, ``bf16="no"``).

    Examples
    --------
    >>> PrivacyConfig(output_dir="runs/doc", hub_token="secret")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: hub_token is set: tokens are saved in clear with the arguments; log in with `hf auth
    login` or set HF_TOKEN instead
    """

    momentum: float = field(default=0.9, metadata={"help": "Momentum of the plain SGD optimizer (optim='sgd')."})
    loss_average: str | None = field(
        default=None,
        metadata={
            "help": "The loss of a language model is the mean over all tokens of a step ('token', what Trainer does, "
            "the undefended default) or of each row's own mean ('example').",
            "choices": AVERAGES,
        },
    )
    hub_private_repo: bool | None = field(default=True, metadata={"help": "Create repositories private."})
    hub_strategy: str = field(default="end", metadata={"help": "Only 'end': every push carries a report."})
    hub_create_pr: bool = field(default=False, metadata={"help": "Push as a pull request."})
    eval_attack: dict | str | None = field(
        default=None, metadata={"help": 'Attack what is evaluated, e.g. \'{"epsilon": 0.03, "n_steps": 20}\'.'}
    )
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Hide losses that are not numbers."})

    def __post_init__(self) -> None:
        self.check_hub_settings()
        check_fields(self)
        given = self.loss_average
        if given is not None and not (isinstance(given, str) and given in AVERAGES):
            raise InputError(f"loss_average is {seen(self.loss_average)}: pass 'token' or 'example'")
        if self.max_tpr_at_fpr is not None:
            self.max_tpr_at_fpr = _tpr_budget(self.max_tpr_at_fpr)
        GateSettings(**self.gate_settings())
        if self.eval_attack is not None:
            self.eval_attack = eval_attack_settings(self.eval_attack)
        self._join_launch()
        super().__post_init__()
        if launched_processes() > 1 and self.world_size != launched_processes():
            raise InputError(
                f"the launcher started {launched_processes()} processes, and this trainer runs as {self.world_size}: "
                "each would train a whole model into the same folder; start it with torchrun or accelerate launch "
                "(without GPUs with use_cpu=True), or in one process, without WORLD_SIZE in its environment"
            )

    def check_hub_settings(self) -> None:
        """Refuse settings under which the stock Trainer would publish a token, or weights without a report.

        The arguments are open to change after they were made, so a trainer asks again before it trains, saves a
        checkpoint or pushes.
        """
        if self.hub_token is not None:
            raise InputError(
                "hub_token is set: tokens are saved in clear with the arguments; log in with `hf auth login` or set "
                "HF_TOKEN instead"
            )
        strategy = getattr(self.hub_strategy, "value", self.hub_strategy)
        if strategy != "end":
            raise InputError(
                f"hub_strategy is {strategy!r}: checkpoint pushes would publish weights without a report; use "
                "hub_strategy='end'"
            )

    def set_push_to_hub(
        self,
        model_id: str,
        strategy: str = "end",
        token: str | None = None,
        private_repo: bool | None = True,
        always_push: bool = False,
        revision: str | None = None,
    ) -> PrivacyConfig:
        """Ask for a push after training, as in `TrainingArguments`, with this config's defaults.

        Parameters
        ----------
        model_id, private_repo, revision
            Repository, whether it is made private, and branch.
        strategy, token, always_push
            Only "end", None and False: see `PrivacyConfig`.

        Raises
        ------
        InputError
            For another strategy, a token, or `always_push`, which speaks of checkpoint pushes; nothing is set then.
        """
        if always_push:
            raise InputError("always_push is True: it speaks of checkpoint pushes, and there are none; leave it out")
        before = self.hub_strategy, self.hub_token
        self.hub_strategy, self.hub_token = strategy, token
        try:
            self.check_hub_settings()
        except InputError:
            self.hub_strategy, self.hub_token = before
            raise
        self.push_to_hub, self.hub_model_id = True, model_id
        self.hub_private_repo, self.hub_revision = private_repo, revision
        return self

    def _join_launch(self) -> None:
        """Where several processes are started on a machine without GPUs, train together on its CPUs.

        Left alone, accelerate looks for GPUs, finds none, and has each process train by itself.
        """
        if launched_processes() == 1:
            # accelerate takes a single process that names a backend for a distributed one, and fails.
            self.ddp_backend = None
        elif launched_local_rank() >= 0 and not _has_gpu():
            self.use_cpu = True
            self.ddp_backend = self.ddp_backend or "gloo"


def _has_gpu() -> bool:
    """Whether there is an accelerator that several processes can train on together; Apple's is none."""
    return torch.accelerator.is_available() and torch.accelerator.current_accelerator().type != "mps"


def _tpr_budget(given: Mapping[float, float] | str) -> dict[float, float]:
    """The budget as numbers, from a mapping or, on a command line, from JSON (whose keys are strings)."""
    way_out = "pass the highest TPR for each FPR, all in [0, 1], such as {0.01: 0.1}"
    try:
        budget = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError as error:
        raise InputError(f"max_tpr_at_fpr is {seen(given)}: {way_out}") from error
    if not isinstance(budget, Mapping) or not budget:
        raise InputError(f"max_tpr_at_fpr is {seen(given)}: {way_out}")
    try:
        rates = dict([map(_unquoted, pair) for pair in budget.items()])
    except ValueError as error:
        raise InputError(f"max_tpr_at_fpr is {seen(given)}: {way_out}") from error
    for name, values in (("fpr", rates), ("tpr", rates.values())):
        for value in values:
            check_number(f"the {name} of max_tpr_at_fpr", value, 0.0, 1.0)
    return {float(fpr): float(tpr) for fpr, tpr in rates.items()}


def _unquoted(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def own_arguments(
    config: PrivacyConfig, *, base: type[PrivacyConfig] = PrivacyConfig, also: Iterable[str] = ()
) -> dict[str, Any]:
    """What a config has beyond `base`: all fields that its classes declare, and their values, those of `also` first.

    A value that is no plain one (a number, text, a switch, nothing, or a list or mapping of them) is told by its type
    alone, and a field with ``repr=False`` is left out: what is returned stands in the report.

    Examples
    --------
    >>> from dataclasses import make_dataclass
    >>> config = make_dataclass("Config", [("weight", float, 0.5)], bases=(PrivacyConfig,))
    >>> own_arguments(config("runs/doc"), also=["momentum"])
    {'momentum': 0.9, 'weight': 0.5}
    """
    classes = set(type(config).__mro__) - set(base.__mro__)
    declared = {name for parent in classes for name in inspect.get_annotations(parent)}
    shown = [field.name for field in fields(config) if field.name in declared and field.repr]
    return {name: _plain(getattr(config, name)) for name in dict.fromkeys([*also, *shown])}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return type(value).__name__
