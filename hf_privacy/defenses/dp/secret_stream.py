"""Random numbers nobody can draw again: the cipher that differential privacy takes its noise and batches from."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch

from hf_privacy.errors import InputError

KEY_BYTES = 32
# Numbers made at a time: on a CPU so few that they stay in its cache, on a GPU so many that it does not wait.
_AT_ONCE = {"cpu": 1 << 15}
_AT_ONCE_ELSEWHERE = 1 << 23
_TOGETHER = 1 << 20  # numbers of several tensors
# Of two numbers: 64 bits of a radius, 32 of an angle.
_BYTES_A_PAIR = 12
_ZEROS = bytes(_BYTES_A_PAIR << 14)  # what the cipher makes bits of


class SecretStream:
    """Uniform and Gaussian numbers from AES-256 in counter mode, under a key of 256 random bits.

    PyTorch's generators keep 32 bits of their seed on a CPU and 64 on a GPU: whoever has the model before and after a
    step could try all seeds, subtract the noise and read the gradient. Here every one of the key's bits counts, and
    telling the stream from true randomness means breaking AES. The cipher runs on the CPU (package *cryptography*)
    whatever the device; its bits are turned into numbers on the device they are wanted on.

    The key is never shown, saved or copied: a stream cannot be pickled, and what resumes starts another.

    Parameters
    ----------
    key : bytes of length 32, optional
        Only so that several processes can draw the same numbers; from the operating system by default.

    Raises
    ------
    InputError
        If the key is of another length, or *cryptography* is not installed.

    References
    ----------
    Counter mode as a generator: NIST SP 800-90A, section 10.2. Gaussian numbers: Box and Muller, "A note on the
    generation of random normal deviates", Annals of Mathematical Statistics 1958.

    Examples
    --------
    >>> stream = SecretStream()
    >>> stream.uniform(3).shape, stream.normal((2, 3)).dtype
    (torch.Size([3]), torch.float32)
    """

    def __init__(self, key: bytes | None = None) -> None:
        key = secrets.token_bytes(KEY_BYTES) if key is None else key
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise InputError(f"key is no {KEY_BYTES} bytes: leave it out, or pass secrets.token_bytes({KEY_BYTES})")
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        except ImportError as error:
            raise InputError('differential privacy needs cryptography: pip install "hf-privacy[dp]"') from error
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def uniform(self, size: int) -> torch.Tensor:
        """Independent numbers, uniform over the multiples of 2⁻⁵³ in [0, 1).

        Parameters
        ----------
        size : int

        Returns
        -------
        float64 [size], on the CPU
        """
        return _unit(self._bits(8 * size).view(torch.int64))

    def normal(
        self, shape: tuple[int, ...], *, scale: float = 1.0, device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """Independent Gaussian numbers of mean 0, up to 8.5 deviations.

        Parameters
        ----------
        shape : tuple of int
        scale : float ≥ 0
            Their standard deviation.
        device : torch.device, default the CPU

        Returns
        -------
        float32 [shape], on the device
        """
        size = math.prod(shape)
        values = torch.empty(size, dtype=torch.float32, device=device)
        step = _AT_ONCE.get(values.device.type, _AT_ONCE_ELSEWHERE)
        for start in range(0, size, step):
            part = values[start : start + step]
            half = -(-len(part) // 2)
            bits = self._bits(_BYTES_A_PAIR * half).to(device)
            radius, angle = bits[: 8 * half].view(torch.int64), bits[8 * half :].view(torch.int32)
            # In float64: 1 − u lies in (0, 1], where the logarithm is finite, and has all of its 53 bits.
            radius = _unit(radius).neg_().log1p_().mul_(-2 * scale**2).float().sqrt_()
            angle = angle.float().mul_(math.pi / 2**31)
            torch.cos(angle, out=part[:half]).mul_(radius)
            rest = len(part) - half
            torch.mul(angle.sin_()[:rest], radius[:rest], out=part[half:])
        return values.reshape(shape)

    def _bits(self, size: int) -> torch.Tensor:
        """So many bytes of random bits, uint8, on the CPU, to be written over."""
        bits = torch.empty(size + 15, dtype=torch.uint8)  # early versions want room for a block more
        zeros = memoryview(_ZEROS if size <= len(_ZEROS) else bytes(size))[:size]
        self._encryptor.update_into(zeros, memoryview(bits.numpy()))
        return bits[:size]

    def __reduce__(self) -> NoReturn:
        raise InputError("a SecretStream is not saved or copied: its numbers must not be drawn again")


def drawn_together(
    stream: SecretStream, tensors: Sequence[torch.Tensor], *, scale: float = 1.0
) -> Iterator[torch.Tensor]:
    """Gaussian numbers of each tensor's shape, float32, on its device; those of small ones are parts of one draw.

    Examples
    --------
    >>> [each.shape for each in drawn_together(SecretStream(), [torch.zeros(2, 3), torch.zeros(4)])]
    [torch.Size([2, 3]), torch.Size([4])]
    """
    start = 0
    while start < len(tensors):
        stop, count, device = start + 1, tensors[start].numel(), tensors[start].device
        while stop < len(tensors) and tensors[stop].device == device:
            count += tensors[stop].numel()
            if count > _TOGETHER:
                break
            stop += 1
        some = tensors[start:stop]
        sizes = [tensor.numel() for tensor in some]
        drawn = stream.normal((sum(sizes),), scale=scale, device=device).split(sizes)
        yield from (part.view(tensor.shape) for part, tensor in zip(drawn, some, strict=True))
        start = stop


def _unit(bits: torch.Tensor) -> torch.Tensor:
    """64 random bits each to a float64 in [0, 1): the upper 53 of them, the sign bit among them."""
    return bits.bitwise_right_shift_(11).bitwise_and_(2**53 - 1).double().mul_(2.0**-53)
