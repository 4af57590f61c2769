"""A checkpoint, on the Hub or in a folder: its configuration and its weights, read from safetensors or GGUF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from hf_privacy.errors import InputError, one_line
from hf_privacy.models.architectures import (
    BUILD_ERRORS,
    MODELS_OF,
    auto_class_for,
    check_fields,
    is_folder,
    scratch_config,
)
from hf_privacy.models.lora import head_modules
from hf_privacy.models.padding import ADAPTER_CONFIG, align_padding, check_vocabulary
from hf_privacy.models.precision import quantized
from hf_privacy.network import network_reason, unreachable


@dataclass(frozen=True)
class Checkpoint:
    """Where weights lie, and how they are opened.

    Parameters
    ----------
    name : str
        A Hub id or a folder.
    revision : str, optional
        On the Hub.
    gguf_file : str, optional
        Name of a GGUF file there, instead of safetensors.
    dtype : torch.dtype
    quantization : {"nf4"}, optional
        Linear layers in four bits, on the current GPU.
    """

    name: str
    revision: str | None = None
    gguf_file: str | None = None
    dtype: torch.dtype = torch.float32
    quantization: str | None = None

    def config(self, *, from_scratch: bool = False, model_kwargs: dict[str, Any] | None = None) -> PreTrainedConfig:
        """The configuration with `model_kwargs` put in; `from_scratch` also that of an architecture's name.

        Raises
        ------
        InputError
            When there is none, it needs code of its own, or has no such fields.
        """
        name, kwargs = self.name, dict(model_kwargs or {})
        if from_scratch and (name.startswith(("timm:", "timm/")) or ("/" not in name and not Path(name).is_dir())):
            return scratch_config(name, model_kwargs=kwargs)
        if is_folder(name) and self.gguf_file is None:
            _check_folder(Path(name), need_weights=not from_scratch)
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False, **self._place())
        except (OSError, ValueError) as error:
            raise cannot_load(name, error) from error
        if config.model_type == "timm_wrapper":
            config.model_args = {**(config.model_args or {}), **kwargs}
        else:
            check_fields(config, kwargs)
            for key, value in kwargs.items():
                setattr(config, key, value)
        return config

    def model(self, config: PreTrainedConfig, *, task: str) -> tuple[PreTrainedModel, list[str]]:
        """The model with its weights, and the names of those the checkpoint did not have (or of another size).

        Only a classifier's head may be such; a language model has all of its weights or is refused.
        """
        name, more = self.name, {}
        if self.quantization is not None:
            more = {"quantization_config": quantized(self.dtype), "device_map": {"": torch.cuda.current_device()}}
        elif self.gguf_file is not None and hasattr(transformers, "GgufConfig"):  # else always unpacked
            more = {"quantization_config": transformers.GgufConfig(dequantize=True)}
        try:
            with quiet():  # a fresh head is meant; whatever else does not fit is an error below
                model, loaded = auto_class_for(task).from_pretrained(
                    name,
                    config=config,
                    trust_remote_code=False,
                    use_safetensors=True,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    dtype=self.dtype,
                    **self._place(),
                    **more,
                )
        except OSError as error:
            raise cannot_load(name, error) from error
        except SafetensorError as error:
            raise InputError(f"the weights of {name} are damaged ({one_line(error)}): get them again") from None
        except BUILD_ERRORS as error:
            raise InputError(f"the model {name} cannot be built: {one_line(error)}") from error
        if self.gguf_file is not None:
            model = _unpacked(model)
            model.gguf_file = self.gguf_file  # an adapter records it
        has_classes = MODELS_OF[task].has_classes
        heads = tuple(f"{head}." for head in (head_modules(model) if has_classes else ()))
        wrong_size = sorted(key for key, *_ in loaded["mismatched_keys"])
        for key in wrong_size:
            if not key.startswith(heads):
                raise InputError(f"the weights of {name} do not fit ({key} has another size): check model_kwargs")
        fresh = sorted({*loaded["missing_keys"], *wrong_size})
        body = [key for key, _ in model.named_parameters() if not key.startswith(heads)]
        if body and set(body) <= set(fresh):
            raise InputError(
                f"none of the weights of {name} belong to {type(model).__name__}: pass another checkpoint"
            )
        if not has_classes and fresh:
            raise InputError(f"the weights of {name} lack {', '.join(fresh[:3])}: pass a checkpoint with all of them")
        return model, fresh

    def _place(self) -> dict[str, Any]:
        place: dict[str, Any] = {"revision": self.revision}
        return place if self.gguf_file is None else {**place, "gguf_file": self.gguf_file}


def with_weights(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> PreTrainedModel:
    """A model of the same configuration and precision with these weights; its own library draws what they lack."""
    source = model.config._name_or_path  # an adapter records it
    with quiet():
        made = type(model).from_pretrained(
            None, config=model.config, state_dict=dict(weights), dtype=model.dtype, trust_remote_code=False
        )
    made.config._name_or_path = made.name_or_path = source
    return made


def _unpacked(model: PreTrainedModel) -> PreTrainedModel:
    """A model from GGUF as if from safetensors: else transformers calls it quantized, not to be trained or saved."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return with_weights(model, model.state_dict())


def check_gguf(gguf_file: str | None, name: str, *, from_scratch: bool = False) -> None:
    """Refuse a GGUF file of a folder or Hub id that cannot be read here.

    Raises
    ------
    InputError
        When the package ``gguf`` is missing, the folder has no such file, or nothing would be read from it.
    """
    if gguf_file is None:
        return
    if from_scratch:
        raise InputError("gguf_file is given with from_scratch: an untrained model reads no weights, so leave one out")
    if not gguf_file.endswith(".gguf") or Path(gguf_file).name != gguf_file:
        raise InputError(f"gguf_file is {gguf_file!r}: pass the name of a .gguf file in the model's folder")
    if find_spec("gguf") is None:
        raise InputError(f'gguf_file is {gguf_file!r}: pip install "hf-privacy[gguf]" to read it')
    if is_folder(name) and not (Path(name) / gguf_file).is_file():
        raise InputError(f"the folder {name} holds no {gguf_file}: pass the name of a .gguf file in it")


def fit_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, *, task: str) -> None:
    """Let a model that is built name its tokenizer's pad token (`align_padding`), or refuse the tokenizer.

    A language model's pad token is trained as every other: Llama's and others' input embedding drops the gradient of
    the one their configuration names, which is often the end-of-text token too, and that one stands within a row,
    between turns or at its beginning. Padding itself is masked and gives no gradient.
    """
    if not MODELS_OF[task].has_classes:
        check_vocabulary(model, tokenizer)
        embedding = model.get_input_embeddings()
        if isinstance(embedding, nn.Embedding):
            embedding.padding_idx = None
    align_padding(model, tokenizer)


def cannot_load(name: str, error: Exception) -> InputError:
    """What transformers raises where a checkpoint cannot be opened, in one sentence."""
    if "trust_remote_code" in str(error):
        return InputError(
            f"{name} needs Python code that comes with it, which is never run: pass one that transformers knows"
        )
    if Path(name).is_dir():
        return InputError(f"the model in {name} cannot be loaded: {one_line(error)}")
    reason = network_reason(error)
    if reason is not None:
        return unreachable(
            f"the Hub model {name!r} is neither reachable nor cached",
            reason,
            instead="pass a saved model's folder",
        )
    return InputError(
        f"the Hub model {name!r} is neither reachable nor cached, or not public: check its name, network and login"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers logs errors alone."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _check_folder(folder: Path, *, need_weights: bool) -> None:
    if not (folder / "config.json").is_file():
        what = "an adapter; pass its base model" if (folder / ADAPTER_CONFIG).is_file() else "no config.json"
        if any(folder.glob("*.gguf")):
            what = "no config.json but GGUF weights; name the file with gguf_file"
        raise InputError(f"the folder {folder} holds {what}: a model folder has config.json and model.safetensors")
    if need_weights and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"the folder {folder} holds no .safetensors weights (pickled ones are never opened): save the model "
            "again with save_pretrained"
        )
