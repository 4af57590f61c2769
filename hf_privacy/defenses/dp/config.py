"""Arguments of `DPTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_number, check_whole
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import check_fields, refuse_label_smoothing
from hf_privacy.defenses.dp.accounting import ACCOUNTANTS, MOST_NOISE
from hf_privacy.defenses.dp.clipping import PER_SAMPLE_GRADIENTS
from hf_privacy.errors import InputError

UNITS = ("row", "group")
LARGER_GROUPS = ("refuse", "draw")


@dataclass
class DPConfig(PrivacyConfig):
    """`PrivacyConfig` with the privacy budget and the noise of DP-SGD.

    Give ``target_epsilon`` and the noise is chosen so that the whole training stays within it; give
    ``noise_multiplier`` and ε follows; give both and training stops before the step that would exceed the budget.
    A step's batch is drawn by Poisson sampling: ``per_device_train_batch_size`` × accumulation × processes is its
    expected size, in rows or in groups.

    Parameters
    ----------
    target_epsilon : float above 0, optional
    noise_multiplier : float ≥ 0, optional
        Standard deviation of the noise in units of ``max_grad_norm``. 0 clips without noise: ε is infinite.
    target_delta : float in (0, 1), optional
        By default one tenth of one over the number of training examples, or groups.
    max_grad_norm : float above 0, default 1
        Norm that each unit's gradient is clipped to. (The gradient of the step is not clipped again.)
    privacy_unit : {"row", "group"}, default "row"
        What is added or removed: a row, or all rows of a group (``data.group_column``), whose gradient is the mean of
        its rows', clipped as one.
    max_rows_per_group : int, optional
        The most rows of a group that a step takes; by default all.
    larger_groups : {"refuse", "draw"}, default "refuse"
        What to do about groups with more: nothing, in one sentence, or to draw so many of their rows afresh each time.
    accountant : {"prv", "rdp"}, default "prv"
    per_sample_gradients : {"auto", "bookkeeping", "functional", "hooks", "ghost", "loop"}, default "auto"
        One pass and no gradient kept, the fastest, for linear layers, adapters, convolutions, embeddings, norms and
        parameters that are added or multiplied; `torch.func.vmap`; Opacus's hooks; Opacus's ghost clipping; or one
        backward pass an example, the slowest, which follows every model (T5, XLNet, gradient checkpointing). The
        first batch, and the shortest and the longest text, are checked against the last; "auto" takes the first of
        bookkeeping, functional and loop that passes, and says so where it is not the first.

    Raises
    ------
    InputError
        For values outside their range, no budget at all, or arguments that are not compatible with the guarantee.

    Examples
    --------
    >>> DPConfig("runs/doc")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: neither target_epsilon nor noise_multiplier is set: pass the budget, the noise, or
    both
    """

    target_epsilon: float | None = field(default=None, metadata={"help": "DP: ε the training must not exceed."})
    noise_multiplier: float | None = field(default=None, metadata={"help": "DP: noise, in units of max_grad_norm."})
    target_delta: float | None = field(default=None, metadata={"help": "DP: δ, by default 1/(10 · examples)."})
    accountant: str = field(default="prv", metadata={"help": "DP: 'prv' or 'rdp'.", "choices": tuple(ACCOUNTANTS)})
    per_sample_gradients: str = field(
        default="auto",
        metadata={
            "help": "DP: 'auto', 'bookkeeping', 'functional', 'hooks', 'ghost' or 'loop'.",
            "choices": tuple(PER_SAMPLE_GRADIENTS),
        },
    )
    privacy_unit: str = field(
        default="row", metadata={"help": "DP: what is protected, a 'row' or a 'group'.", "choices": UNITS}
    )
    max_rows_per_group: int | None = field(
        default=None, metadata={"help": "DP by group: most rows of a group in a step; all by default."}
    )
    larger_groups: str = field(
        default="refuse",
        metadata={
            "help": "DP by group: 'refuse' groups with more rows, or 'draw' so many of them.",
            "choices": LARGER_GROUPS,
        },
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.target_epsilon is None and self.noise_multiplier is None:
            raise InputError("neither target_epsilon nor noise_multiplier is set: pass the budget, the noise, or both")
        if self.target_epsilon is not None:
            check_number("target_epsilon", self.target_epsilon, 0.0, low_open=True)
        if self.noise_multiplier is not None:
            check_number("noise_multiplier", self.noise_multiplier, 0.0, MOST_NOISE)
        if self.target_delta is not None:
            check_number("target_delta", self.target_delta, 0.0, 1.0, low_open=True, high_open=True)
        check_number("max_grad_norm", self.max_grad_norm, 0.0, low_open=True)
        check_choice("accountant", self.accountant, ACCOUNTANTS)
        check_choice("per_sample_gradients", self.per_sample_gradients, PER_SAMPLE_GRADIENTS)
        check_choice("privacy_unit", self.privacy_unit, UNITS)
        check_choice("larger_groups", self.larger_groups, LARGER_GROUPS)
        if self.max_rows_per_group is not None:
            check_whole("max_rows_per_group", self.max_rows_per_group, at_least=1)
            if self.privacy_unit == "row":
                raise InputError(
                    f"max_rows_per_group is {self.max_rows_per_group} and privacy_unit is 'row': set it to 'group'"
                )
        if self.privacy_unit == "group" and self.per_sample_gradients in ("hooks", "ghost"):
            raise InputError(
                f"per_sample_gradients is {self.per_sample_gradients!r}, which clips rows, and privacy_unit is "
                "'group': set it to 'auto'"
            )
        if self.bf16 and self.per_sample_gradients == "ghost":
            raise InputError(
                "bf16 is set and per_sample_gradients is 'ghost', whose norms are then rounded to half precision and "
                "clip by less than they say: set it to 'auto'"
            )
        refuse_label_smoothing(self, "DP-SGD")
        if self.fp16:
            raise InputError(
                "fp16 is set: its loss scale would scale the clipped gradients; use bf16 or full precision"
            )
        if self.dataloader_drop_last:
            raise InputError("dataloader_drop_last is set: Poisson batches have no last one to drop; leave it off")
        if self.auto_find_batch_size:
            raise InputError(
                "auto_find_batch_size is set: a retried step would spend privacy unaccounted; leave it off"
            )
        super().__post_init__()
        if self.gradient_checkpointing and self.per_sample_gradients != "loop":
            raise InputError(
                f"gradient_checkpointing is set and per_sample_gradients is {self.per_sample_gradients!r}, which "
                "keeps what checkpointing drops: set per_sample_gradients to 'loop', or leave checkpointing out"
            )
