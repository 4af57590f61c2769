"""What is about classes is refused for a language model in one sentence, before anything is trained."""

from __future__ import annotations

import pytest
from small_training import QUIET
from tiny_language import language_model, token_rows

from hf_privacy.auditing import audit
from hf_privacy.data import MembershipSplit
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe
from hf_privacy.recipe.later import check_new_tokens


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"audit": {"robustness": {"epsilon": 0.1}}}, "robustness is"),
        ({"audit": {"extra_attacks": ["label_only"]}}, "extra_attacks is"),
        ({"audit": {"queries": ["identity", "flip"]}}, "only images are flipped"),
        ({"data": {"label_noise": 0.1}}, "whose rows have no classes"),
    ],
)
def test_a_recipe_is_refused_when_it_is_read(section, said):
    with pytest.raises(InputError, match=said):
        Recipe.from_dict({"task": "causal-lm", **section}).check()


def test_attacks_on_inputs_are_refused(tmp_path):
    with pytest.raises(InputError, match="eval_attack is set and the model is for causal-lm"):
        PrivacyTrainer(
            language_model("llama"),
            PrivacyConfig(str(tmp_path), **QUIET, eval_attack={"epsilon": 0.1}),
            train_dataset=token_rows(),
        )


def test_an_audit_from_python_is_refused_too(tmp_path):
    settings = {"extra_attacks": ["boundary_distance"]}
    split = MembershipSplit([0, 1, 2, 3], [4, 5, 6, 7], [], n_examples=8, dataset_fingerprint="tokens")
    with pytest.raises(InputError, match="only models that tell classes apart"):
        audit(language_model("llama"), token_rows(), split, output_dir=tmp_path, **settings)


def test_new_tokens_as_canaries_of_an_adapter_are_refused_before_training():
    with pytest.raises(InputError, match=r"canaries\.kind is 'new_last_token'.*an adapter leaves both as they are"):
        check_new_tokens(language_model("llama", lora=True), "new_last_token")
    check_new_tokens(language_model("llama", lora=True), "random_tokens")
    check_new_tokens(language_model("llama"), "new_last_token")
