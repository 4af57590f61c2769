"""What the networks that perturb a forget set are, and how they are trained."""

from __future__ import annotations

from dataclasses import dataclass

from hf_privacy.arguments import check_number, check_numbers, check_whole
from hf_privacy.defenses.base.config_checks import check_fields
from hf_privacy.errors import InputError

# Largest change of a pixel in [0, 1] by the number of channels: images like MNIST's and like CIFAR's.
_C_BY_CHANNELS = {1: 0.3, 3: 12 / 255}


@dataclass(frozen=True)
class SPDGANConfig:
    """Settings of :func:`~hf_privacy.unlearning.train_spd_gan`.

    Parameters
    ----------
    c : float in (0, 1], optional
        Most that a pixel in [0, 1] may change. By default 0.3 for images of one channel (MNIST) and 12/255 for three
        (CIFAR-10; 8/255 to 16/255 is the usual range).
    residual_weight : float, default 1
        Of the hinge that keeps the change small.
    residual_share : float in [0, 1], default 0.5
        The change of an image costs nothing while its L2 norm is at most this share of the largest possible one,
        c·√(channels·height·width).
    label_weight : float, default 10
        Of the hinge that pushes the retain-only classifier off the label.
    label_margin : float, default 1
        By how much another class's logit must exceed the label's before that hinge is 0. Above 0, so that the change
        also holds for classifiers other than the one that was attacked.
    width : int, default 32
        Channels of the hidden layers.
    n_blocks : int, default 2
        Residual blocks of the generator.
    num_train_epochs : int, default 60
        Passes over the forget set.
    batch_size : int, default 64
        Forget examples a step, over all processes.
    learning_rate : float, default 1e-3
        Of Adam, for both networks.
    betas : (float, float), default (0.5, 0.999)
        Of Adam.
    save_every_n_epochs : int, default 10
        Epochs between checkpoints; the last epoch always leaves one.
    seed : int, default 0

    Raises
    ------
    InputError
        For values outside their range.

    Examples
    --------
    >>> SPDGANConfig(c=12)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: c is 12 where pixels go from 0 to 1: pass a number above 0, at most 1, such as 12/255
    """

    c: float | None = None
    residual_weight: float = 1.0
    residual_share: float = 0.5
    label_weight: float = 10.0
    label_margin: float = 1.0
    width: int = 32
    n_blocks: int = 2
    num_train_epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    save_every_n_epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("residual_weight", "label_weight", "label_margin"):
            check_number(name, getattr(self, name), 0.0)
        check_number("residual_share", self.residual_share, 0.0, 1.0)
        for name in ("width", "num_train_epochs", "batch_size", "save_every_n_epochs"):
            check_whole(name, getattr(self, name), at_least=1)
        check_whole("n_blocks", self.n_blocks, at_least=0)
        check_number("learning_rate", self.learning_rate, 0.0, low_open=True)
        object.__setattr__(self, "betas", tuple(check_numbers("betas", self.betas, 0.0, 1.0, high_open=True)))
        if len(self.betas) != 2:
            raise InputError(f"betas is {self.betas}: pass two numbers from 0 to below 1")
        if self.c is not None and not 0 < check_number("c", self.c) <= 1:
            way_out = f", such as {self.c:g}/255" if 1 < self.c <= 255 else ""
            raise InputError(f"c is {self.c} where pixels go from 0 to 1: pass a number above 0, at most 1{way_out}")

    def c_for(self, n_channels: int) -> float:
        """`c`, or its default for images of so many channels.

        Examples
        --------
        >>> SPDGANConfig().c_for(1), round(255 * SPDGANConfig().c_for(3)), SPDGANConfig(c=0.1).c_for(3)
        (0.3, 12, 0.1)
        """
        if self.c is not None:
            return self.c
        if n_channels not in _C_BY_CHANNELS:
            raise InputError(
                f"the images have {n_channels} channels and c is not given, which has defaults for 1 and 3: pass c"
            )
        return _C_BY_CHANNELS[n_channels]
