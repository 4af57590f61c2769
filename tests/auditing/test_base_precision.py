"""The base of a saved language model is compared with it in its own precision."""

from __future__ import annotations

import pytest
import torch
from language_models import logits, scratch

from hf_privacy.auditing.saved_folder import _base_model
from hf_privacy.models import load_saved_model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_learnt_nothing_is_its_base(dtype, tmp_path):
    scratch("llama").save_pretrained(tmp_path / "base")
    load_saved_model(tmp_path / "base", dtype=dtype).save_pretrained(tmp_path / "target")
    target = load_saved_model(tmp_path / "target")
    assert target.dtype == getattr(torch, dtype)
    base = _base_model(str(tmp_path / "base"), target, None)
    assert base.dtype == target.dtype
    assert torch.equal(logits(base), logits(target))
