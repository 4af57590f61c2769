"""Arguments of `DPOUnlearningTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_number, seen
from hf_privacy.errors import InputError
from hf_privacy.unlearning.base.language import LanguageUnlearningConfig

# Ours; the benchmark has a hundred of the kind.
I_DO_NOT_KNOW = (
    "I don't know.",
    "I'm not sure about that.",
    "I have no information on that.",
    "That is something I don't know.",
    "I can't answer that.",
    "I'm afraid I don't have an answer.",
    "I wasn't told about that.",
    "I don't know enough to answer.",
    "That is outside what I know.",
    "I couldn't say.",
)


@dataclass
class DPOUnlearningConfig(LanguageUnlearningConfig):
    """`LanguageUnlearningConfig` with the answers to prefer.

    Parameters
    ----------
    beta : float above 0, default 0.1
        β, the inverse temperature.
    alternatives : list of str
        Answers to prefer to the forget rows' own, of which each row is given one by chance; by default ten ways to say
        "I do not know". Answers that fit each row are passed to the trainer as ``alternative_dataset``.

    Raises
    ------
    InputError
        For a value outside its range, or answers that are no texts.

    Examples
    --------
    >>> DPOUnlearningConfig("runs/doc", alternatives=[])
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: alternatives is []: pass a list of answers, each a text
    """

    beta: float = field(default=0.1, metadata={"help": "DPO: inverse temperature, above 0."})
    alternatives: list[str] = field(
        default_factory=lambda: list(I_DO_NOT_KNOW), metadata={"help": "DPO: answers to prefer, one a row by chance."}
    )

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0, low_open=True)
        answers = self.alternatives
        if not isinstance(answers, (list, tuple)) or not answers or not all(_is_answer(answer) for answer in answers):
            raise InputError(f"alternatives is {seen(answers)}: pass a list of answers, each a text")
        super().__post_init__()


def _is_answer(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
