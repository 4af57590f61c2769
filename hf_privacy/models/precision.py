"""In which precision a model is opened: float32, bfloat16, or a frozen base in four bits (QLoRA)."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig, PreTrainedConfig

from hf_privacy.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
QUANTIZATIONS = ("nf4",)


def dtype_named(dtype: str | torch.dtype) -> torch.dtype:
    """The precision of a recipe, or torch's own name of it.

    Raises
    ------
    InputError
        For another than float32 and bfloat16: float16 overflows in training without a scaled loss.

    Examples
    --------
    >>> dtype_named("bfloat16"), dtype_named(torch.float32)
    (torch.bfloat16, torch.float32)
    """
    found = DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise InputError(f"dtype is {dtype!r}: pass one of {', '.join(DTYPES)}")
    return found


def dtype_saved(config: PreTrainedConfig) -> torch.dtype:
    """bfloat16 where a saved configuration says so, else float32, which holds every other precision's values."""
    return torch.bfloat16 if config.dtype == torch.bfloat16 else torch.float32


def check_quantization(quantization: str | None, *, gguf_file: str | None = None) -> None:
    """Refuse a base in four bits where it cannot be opened, before anything is loaded.

    Raises
    ------
    InputError
        For another name than ``"nf4"``, together with a GGUF file, without a CUDA GPU or without bitsandbytes.
    """
    if quantization is None:
        return
    if quantization not in QUANTIZATIONS:
        raise InputError(f"quantization is {quantization!r}: pass {', '.join(QUANTIZATIONS)}, or leave it out")
    if gguf_file is not None:
        raise InputError("quantization and gguf_file are given: a GGUF file is unpacked, so leave one of them out")
    if not torch.cuda.is_available():
        raise InputError(
            f"quantization is {quantization!r} and this machine has no CUDA GPU: leave quantization out, or train and "
            "audit on one that has"
        )
    if find_spec("bitsandbytes") is None:
        raise InputError(f'quantization is {quantization!r}: pip install "hf-privacy[qlora]" for it')


def quantized(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Four-bit NormalFloat with its constants quantised too (Dettmers et al., 2023, "QLoRA", arXiv 2305.14314).

    Parameters
    ----------
    dtype : torch.dtype
        In which the layers compute.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
