"""What a report and a card say of a causal language model."""

from __future__ import annotations

import copy
import math

import pytest
import yaml
from made_up_extraction import FOUND, sides

from hf_privacy.errors import InputError
from hf_privacy.hub import headline
from hf_privacy.reports import CardData, PrivacyReport, render_card, what_it_does_not_mean, what_it_means
from hf_privacy.reports.sections.attack_plots import scores_figure

NULL_RESULT = "an audit without a reference is a null result, not a clean bill."
FREE = ("loss", "loss_sum", "min_k", "min_k_plus_plus", "length")
ADAPTER = CardData(repo_id="ada/tofu-lora", library_name="peft", pipeline_tag="text-generation")


def metadata(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_perplexity_stands_beside_leakage_in_table_page_card_and_metadata(language_dict):
    report = PrivacyReport.from_dict(language_dict())
    assert "Perplexity: held out (non-members) 7.389 [6.4, 8.5]; training (members) 3.004 [2.5, 3.6]" in report.table()
    page = report.rendered()["privacy_report.html"].decode()
    for cell in ("7.389<small>[6.4, 8.5]</small>", "52.0 %<small>[48.0, 56.0]</small>", "Perplexity</th>"):
        assert cell in page
    assert f"2<small>[{math.log(6.4):.4g}, {math.log(8.5):.4g}]</small>" in page
    card = render_card(report, ADAPTER)
    assert "| Held out (non-members) | 7.389 [6.4, 8.5] | 2 [1.856, 2.14] | 52.0 % [48.0, 56.0] |" in card
    found = metadata(card)
    assert found["metrics"] == ["perplexity"]
    metrics = [m for result in found["model-index"][0]["results"] for m in result["metrics"]]
    values = {metric["type"]: metric["value"] for metric in metrics}
    assert (values["perplexity"], values["loss"]) == (7.389, 2.0)
    assert "accuracy" not in values


def test_the_card_says_how_an_adapter_loads_and_of_which_commit_its_base_is(language_dict):
    card = render_card(PrivacyReport.from_dict(language_dict()), ADAPTER)
    found = metadata(card)
    assert found["base_model"] == "owner/stories260K"
    assert (found["base_model_relation"], found["library_name"]) == ("adapter", "peft")
    assert found["pipeline_tag"] == "text-generation"
    lines = card.splitlines()
    assert f'base = AutoModelForCausalLM.from_pretrained("owner/stories260K", revision="{"b" * 40}")' in lines
    assert 'model = PeftModel.from_pretrained(base, "ada/tofu-lora").eval()' in lines
    assert 'tokenizer = AutoTokenizer.from_pretrained("ada/tofu-lora")' in lines
    assert f"fine-tuned from owner/stories260K at revision `{'b' * 40}`" in card
    assert "(200 training examples, 8,120 scored tokens)" in card
    assert "The unit of privacy is all rows of one author. The end-of-text token is trained on and scored." in card
    assert "num_labels" not in card


def test_a_base_named_at_the_push_takes_no_commit_of_another(language_dict):
    card = render_card(
        PrivacyReport.from_dict(language_dict()),
        CardData(library_name="peft", pipeline_tag="text-generation", base_model="else/where"),
    )
    assert 'from_pretrained("else/where")' in card
    assert "b" * 40 not in card


def test_full_weights_load_by_the_class_of_causal_models(language_dict):
    made = language_dict()
    made["model"] |= {"adapter": None, "n_trainable_parameters": 270_464, "base_model": None, "base_revision": None}
    del made["split"]["unit"], made["split"]["n_groups"]
    card = render_card(
        PrivacyReport.from_dict(made),
        CardData(repo_id="ada/tofu", library_name="transformers", pipeline_tag="text-generation"),
    )
    assert 'model = AutoModelForCausalLM.from_pretrained("ada/tofu").eval()' in card
    assert "peft" not in card
    assert "The unit of privacy is one row." in card
    assert "trained from scratch" in card


@pytest.mark.parametrize(
    ("attacks", "shown", "said", "not_said"),
    [
        (FREE, 0.4, NULL_RESULT, "The only reference"),
        (FREE, 0.0005, "find far more in language models", NULL_RESULT),
        ((*FREE, "base_calibration"), 0.0005, "The only reference is the base checkpoint", "Neither"),
        ((*FREE, "window_comparison"), 0.4, "The only reference is the base checkpoint", "Neither"),
        ((*FREE, "base_calibration", "lira"), 0.4, "could not show", "reference is"),
        ((*FREE, "lira"), 0.0005, "8 reference models", "null result"),
    ],
)
def test_what_an_audit_had_to_compare_with_is_said_as_it_was(language_dict, attacks, shown, said, not_said):
    made = language_dict(*attacks, shown=shown)
    if shown == 0.0005:
        assert made["evidence"]["strongest"]["p_value"] == shown
    found = headline(made)
    assert said in found
    assert not_said not in found
    assert "No reference models" not in found or "base checkpoint" in found


def test_the_null_result_heads_page_and_card(language_dict):
    report = PrivacyReport.from_dict(language_dict(*FREE, shown=0.4))
    page, card = report.rendered()["privacy_report.html"].decode(), render_card(report, ADAPTER)
    assert NULL_RESULT in page[page.index('<p class="headline">') : page.index("</p>", page.index('class="headline"'))]
    assert card.index(NULL_RESULT) < card.index("| Attack |")


def test_a_classifier_without_references_is_said_what_it_was(quick_report):
    assert quick_report.headline().endswith("No reference models were used; attacks with them usually find more.")


def test_a_perplexity_that_differs_is_a_hint_where_no_attack_shows_anything(language_dict):
    made = language_dict(*FREE, shown=0.4)
    sentence = "The model's perplexity is 3.004 on the training examples and 7.389 on others"
    assert sentence in headline(made)
    made["utility"]["member_perplexity"]["high"] = 6.5  # the intervals touch
    assert sentence not in headline(made)


def test_the_unit_what_is_scored_and_what_was_cut_are_said(language_dict):
    report = PrivacyReport.from_dict(language_dict())
    said = " ".join(what_it_means(report))
    assert "Rows were drawn by author" in said
    assert "the end-of-text token with them" in said
    assert "3 rows were cut at 128 tokens" in said
    page = report.rendered()["privacy_report.html"].decode()
    for row in ("8,120, 8,044, 4,000", "31,500", "63.1, 128", "3, at 128 tokens", "causal-lm"):
        assert f"<td>{row}</td>" in page
    made = language_dict()
    made["dataset"]["tokens"] |= {"n_truncated": 0, "max_length": None}
    assert "were cut" not in " ".join(what_it_means(PrivacyReport.from_dict(made)))


def test_extraction_that_was_measured_is_not_said_to_be_unknown(language_dict):
    made = language_dict()
    assert "reconstructing or extracting" in " ".join(what_it_does_not_mean(PrivacyReport.from_dict(made)))
    made["extraction"] = copy.deepcopy(FOUND)
    said = " ".join(what_it_does_not_mean(PrivacyReport.from_dict(made)))
    assert "reconstructing or extracting" not in said
    assert "facts told in other words" in said


def test_scores_are_drawn_over_what_they_are(language_dict, report):
    made = PrivacyReport.from_dict(language_dict("loss", "min_k"))
    labels = [axes.get_xlabel() for axes in scores_figure(made.attacks, made.curves).axes[:2]]
    assert labels == ["log p a token, mean [nats]", "log p of the least likely tokens [nats]"]
    assert scores_figure(report.attacks, report.curves).axes[0].get_xlabel() == "log p(true class) [nats]"


def test_over_runs_perplexity_takes_the_place_of_accuracy(language_dict):
    made = language_dict()
    area = {"mean": 0.7, "low": 0.6, "high": 0.8}
    mean = {"mean": 7.4, "low": 6.9, "high": 7.9, "values": [7.3, 7.5]}
    made["targets"] = {
        "n_targets": 2, "confidence": 0.95,
        "attacks": [{"name": "lira", "title": "LiRA", "auc": area, "tpr_at_fpr": []}],
        **{f"{side}_{name}": mean for side in ("member", "nonmember") for name in ("loss", "perplexity")},
        **{f"{side}_token_accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6} for side in ("member", "nonmember")},
    }  # fmt: skip
    report = PrivacyReport.from_dict(made)
    assert "Perplexity: members 7.4 [6.9, 7.9], non-members 7.4 [6.9, 7.9]" in report.table()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"member_perplexity": {"value": 0.5, "low": 0.4, "high": 0.6}}, "less than the minimum of 1"),
        ({"member_perplexity": {"value": 9.0, "low": 2.0, "high": 3.0}}, r"its interval is \[2.0, 3.0\]"),
        ({"member_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}, "'member_accuracy' was unexpected"),
    ],
)
def test_utility_that_no_language_model_has_is_refused(language_dict, change, message):
    made = language_dict()
    made["utility"] |= change
    with pytest.raises(InputError, match=message):
        PrivacyReport.from_dict(made)


def test_a_budget_on_extraction_is_held_against_the_upper_end(language_dict, hub_folder):
    from hf_privacy.hub import GateError, check_gate

    made = language_dict()
    with pytest.raises(GateError, match="the report says nothing of extraction"):
        check_gate(hub_folder(made), max_extraction=0.5)
    made["extraction"] = {**copy.deepcopy(FOUND), "greedy": sides(20, 4)}  # leakage .08, up to .14
    assert check_gate(hub_folder(made), max_extraction=0.14) is not None
    with pytest.raises(GateError, match=r"max_extraction 0.13 .* is 0.14 \(0.080 \[0.020, 0.140\]\)"):
        check_gate(hub_folder(made), max_extraction=0.13)
    with pytest.raises(InputError, match=r"max_extraction is 2: pass a number in \[0, 1\]"):
        check_gate(hub_folder(made), max_extraction=2)


def test_memorization_is_of_tokens(language_dict):
    made = language_dict()
    made["memorization_bins"] = [
        {
            "memorization_from": -1.0, "memorization_to": 0.1, "attack": "lira", "n_members": 90, "n_nonmembers": 90,
            "auc": 0.6, "auc_low": 0.5, "auc_high": 0.7, "confidence": 0.95,
        }
    ]  # fmt: skip
    report = PrivacyReport.from_dict(made)
    said = "for models that were trained on it"
    assert said in render_card(report, ADAPTER)
    assert said in report.rendered()["privacy_report.html"].decode()


def test_a_budget_on_auc_holds_for_whole_groups_where_they_are_the_unit(language_dict, hub_folder):
    from hf_privacy.hub import GateError, check_gate

    made = language_dict()
    made["attacks"][0]["by_group"] = {"auc": 0.995, "auc_low": 0.99, "auc_high": 0.9999}
    most = max(attack["auc_high"] for attack in made["attacks"])
    assert most < 0.9999
    with pytest.raises(GateError, match="the highest upper end over whole groups by 'author' is that of"):
        check_gate(hub_folder(made), max_auc=most)
    made["attacks"][0]["by_group"] = {"auc": 0.5, "auc_low": 0.4, "auc_high": 0.6}
    assert check_gate(hub_folder(made), max_auc=most) is not None


@pytest.mark.parametrize("change", [{"suffix_tokens": 1000}, {"prefix_tokens": 1}])
def test_a_budget_on_extraction_needs_parts_that_can_come_back(language_dict, hub_folder, change):
    from hf_privacy.hub import GateError, check_gate

    made = language_dict()
    made["extraction"] = {**copy.deepcopy(FOUND), "greedy": sides(20, 4), **change}
    with pytest.raises(GateError, match="hardly anything comes back word for word; audit with suffix_tokens 50 or"):
        check_gate(hub_folder(made), max_extraction=0.9)


def test_what_another_trainer_trained_on_is_not_said(language_dict):
    made = language_dict()
    ours = PrivacyReport.from_dict(made)
    assert "The end-of-text token is trained on and scored. Rows that were cut have none." in render_card(
        ours, ADAPTER
    )
    made["defense"]["name"] = "unknown"
    foreign = PrivacyReport.from_dict(made)
    card, said = render_card(foreign, ADAPTER), " ".join(what_it_means(foreign))
    assert "The end-of-text token is scored." in card
    assert "Which of them the model was trained on is not known: another trainer wrote it." in said
    assert "trained on and scored" not in card + said
    assert "trained on are scored" not in said


def test_a_blind_baseline_that_saw_the_bases_loss_says_so(language_dict):
    made = language_dict()
    made["blind_baseline"] = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "confidence": 0.95, "differs": True}
    assert "by the inputs alone)" in headline(made)
    made["blind_baseline"]["base_loss"] = True
    assert "by the texts and the base model's loss of them)" in headline(made)


def test_how_many_rows_were_generated_for_is_said_of_each_side(language_dict):
    made = language_dict()
    made["extraction"] = copy.deepcopy(FOUND)
    for side, count in (("members", 64), ("heldout", 30)):
        made["extraction"]["overlap"][side] = {**FOUND["overlap"][side], "n_examples": count}
    page = PrivacyReport.from_dict(made).rendered()["privacy_report.html"].decode()
    assert "(64 members, 30 held-out rows)" in page
