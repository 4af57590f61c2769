"""Models: loaded, built from scratch, adapted, described.

Importing this room lets transformers' Auto classes open tabular models too.
"""

from hf_privacy.models.architectures import TASKS
from hf_privacy.models.base import base_of
from hf_privacy.models.checkpoint_classes import are_named, class_order, names_of
from hf_privacy.models.commit import commit_of
from hf_privacy.models.describe import describe_model
from hf_privacy.models.loading import (
    load_base,
    load_base_classifier,
    load_image_processor,
    load_model,
    load_tokenizer,
)
from hf_privacy.models.lora import attach_lora, head_modules
from hf_privacy.models.merging import adapted_weights, merged_adapter
from hf_privacy.models.modes import bare_model, evaluation_mode, float32_logits, without_autocast
from hf_privacy.models.padding import (
    align_padding,
    check_token_ids,
    context_length,
    padding_side_for,
    position_limit,
)
from hf_privacy.models.push_guard import allow_unguarded_push, guard_push
from hf_privacy.models.saved import load_saved_model
from hf_privacy.models.scored_tokens import (
    IGNORED,
    ScoredTokens,
    score_tokens,
    scored_places,
    scored_positions,
)
from hf_privacy.models.shared_base import beside, on_the_same_weights
from hf_privacy.models.tabular_mlp import TabularMLPConfig, TabularMLPForClassification

__all__ = [
    "IGNORED",
    "TASKS",
    "ScoredTokens",
    "TabularMLPConfig",
    "TabularMLPForClassification",
    "adapted_weights",
    "align_padding",
    "allow_unguarded_push",
    "are_named",
    "attach_lora",
    "bare_model",
    "base_of",
    "beside",
    "check_token_ids",
    "class_order",
    "commit_of",
    "context_length",
    "describe_model",
    "evaluation_mode",
    "float32_logits",
    "guard_push",
    "head_modules",
    "load_base",
    "load_base_classifier",
    "load_image_processor",
    "load_model",
    "load_saved_model",
    "load_tokenizer",
    "merged_adapter",
    "names_of",
    "on_the_same_weights",
    "padding_side_for",
    "position_limit",
    "score_tokens",
    "scored_places",
    "scored_positions",
    "without_autocast",
]
