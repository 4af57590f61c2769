"""The Hub model card: content, metadata, merging."""

from __future__ import annotations

import json

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_privacy.errors import InputError
from hf_privacy.hub.unaudited import unaudited_card
from hf_privacy.reports import CardData, card_data_of_folder, public_name, render_card, write_card
from hf_privacy.reports.card_data import METADATA_FIELDS

IMAGE = {"library_name": "timm", "pipeline_tag": "image-classification"}
THEIRS = """---
license: mit
tags:
- digits
- unaudited
custom_key: kept
model-index:
- name: theirs
  results:
  - task:
      type: image-classification
    dataset:
      name: digits
      type: local
    metrics:
    - type: f1
      value: 0.9
---

# My own words

Kept to the letter: *yes*  <b>all</b>.
"""


def results_of(card: str) -> dict[tuple[str, str, float | None], float]:
    return {
        (r.metric_type, (r.metric_args or {}).get("attack"), (r.metric_args or {}).get("fpr")): r.metric_value
        for r in ModelCard(card).data.eval_results
    }


def test_metadata_holds_accuracy_and_each_attack_as_model_index(report):
    results = results_of(render_card(report, CardData(**IMAGE)))
    assert results.pop(("accuracy", None, None)) == 0.962
    for attack in report.attacks:
        assert results.pop(("membership_inference_auc", attack["name"], None)) == round(attack["auc"], 4)
        for entry in attack["tpr_at_fpr"]:
            key = ("membership_inference_tpr_at_fpr", attack["name"], entry["fpr"])
            if entry["tpr"] is None:
                assert key not in results
            else:
                assert results.pop(key) == round(entry["tpr"], 4)
    assert results == {}


def test_results_carry_their_intervals_and_reference_budget(report):
    result = next(
        r
        for r in ModelCard(render_card(report, CardData(**IMAGE))).data.eval_results
        if r.metric_type == "membership_inference_auc" and r.metric_args["attack"] == "lira"
    )
    assert result.task_type == "image-classification"
    assert result.metric_args["n_references"] == 16
    assert result.metric_args["low"] < result.metric_value < result.metric_args["high"]
    assert result.metric_args["confidence"] == 0.95


def test_metadata_is_built_from_the_three_groups(report):
    data = ModelCard(render_card(report, CardData(license="mit", language="en", tags=["mine"], **IMAGE))).data
    assert (data.license, data.language, data.library_name, data.pipeline_tag) == (
        "mit",
        "en",
        "timm",
        "image-classification",
    )
    assert data.base_model == "timm/resnet18.a1_in1k"
    assert data.tags == ["hf_privacy", "privacy-audited", "mine"]
    assert data.metrics == ["accuracy"]


def test_metadata_keys_are_a_whitelist_and_no_licence_is_invented(report):
    for given in (report, None):
        metadata = yaml.safe_load(render_card(given, CardData()).split("---")[1])
        assert set(metadata) <= set(METADATA_FIELDS)
        assert "license" not in metadata


def test_only_hub_ids_are_written_as_datasets_and_base_model(report, tmp_path, monkeypatch):
    assert "datasets" not in ModelCard(render_card(report, CardData())).data.to_dict()  # "digits" has no owner
    report.dataset["name"] = "stanfordnlp/sst2"
    assert ModelCard(render_card(report, CardData())).data.datasets == ["stanfordnlp/sst2"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stanfordnlp" / "sst2").mkdir(parents=True)  # a local folder that looks like an id
    assert ModelCard(render_card(report, CardData())).data.datasets is None


def test_a_bare_name_is_a_hub_id_only_when_a_revision_was_resolved_for_it(report):
    report.dataset.update(name="imdb", revision="b" * 40)
    assert ModelCard(render_card(report, CardData())).data.datasets == ["imdb"]


def test_a_local_base_model_appears_by_its_last_part_and_not_in_the_metadata(report):
    report.model["base_revision"] = None
    card = render_card(report, CardData(base_model="/srv/models/my-bert", **IMAGE))
    assert ModelCard(card).data.base_model is None
    assert "fine-tuned from my-bert" in card
    assert "/srv" not in card


def test_a_dataset_given_by_the_user_must_be_a_hub_id(report):
    with pytest.raises(InputError, match=r"datasets of the card holds '\./data'"):
        render_card(report, CardData(datasets=["./data"]))


@pytest.mark.parametrize(
    ("given", "published"),
    [("/home/ada/b", "b"), ("C:\\models\\b", "b"), ("./runs/b", "b"), ("o/b", "o/b"), ("/", "local")],
)
def test_public_name(given, published):
    assert public_name(given) == published


def test_the_body_says_all_a_reader_needs(report):
    card = render_card(report, CardData(repo_id="ada/digits", description="Reads digits.", **IMAGE))
    for said in (
        "# digits-resnet", "Reads digits.", "## Privacy report", report.headline(), "LiRA (online, pooled variance)",
        "![ROC curves", "](privacy_roc.png)", "](privacy_scores.png)", "### What these figures mean",
        "### What they do not mean", "lower bound on leakage", "### Caveats of this audit", "Near repeats were not",
        "### Reproduce the audit", "`5e5e`", "recipe `abab`", report.model["weights_sha256"], "## How it was trained",
        "| learning_rate | 0.001 |", "## How to load it", 'ForImageClassification.from_pretrained("ada/digits")',
    ):  # fmt: skip
        assert said in card


def test_the_attack_table_is_a_whole_markdown_table(report):
    lines = render_card(report, CardData()).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("| Attack"))
    table = lines[start : start + 2 + len(report.attacks)]
    assert {line.count("|") for line in table} == {7}
    assert lines[start + 2 + len(report.attacks)] == ""
    assert "–" in table[2]  # 200 non-members do not resolve 0.1 %


def test_python_in_the_card_is_python(report):
    for changes in ({}, {"pipeline_tag": "text-classification"}, {"library_name": "peft"}):
        for task in ("image-classification", "tabular-classification"):
            card = render_card(report, CardData(**{"pipeline_tag": task, **changes}))
            compile(card.partition("```python\n")[2].partition("```")[0], "card", "exec")


def test_an_adapter_is_loaded_onto_its_base_model(report):
    report.model.update(adapter="LoRA", base_model="google-bert/bert-base-uncased")
    card = render_card(
        report, CardData(library_name="peft", pipeline_tag="text-classification", repo_id="ada/sst2-lora")
    )
    assert 'from_pretrained("google-bert/bert-base-uncased", revision="' in card
    assert '", num_labels=10' in card
    assert 'PeftModel.from_pretrained(base, "ada/sst2-lora")' in card
    assert ModelCard(card).data.base_model_relation == "adapter"


def test_a_card_without_a_report_says_plainly_that_the_model_is_unaudited():
    card = render_card(None, CardData(model_name="digits", hyperparameters={"seed": 1}, **IMAGE))
    assert "The privacy of this model has not been audited" in card
    assert ModelCard(card).data.tags == ["hf_privacy", "unaudited"]
    assert "model-index" not in card
    assert "privacy_roc.png" not in card


def test_markdown_and_html_in_names_stay_text(report):
    report.attacks[0]["title"] = "LOSS | <b>x</b>\n# [a](b)"
    card = render_card(report, CardData())
    assert r"LOSS \| &lt;b&gt;x&lt;/b&gt; # [a\](b)" in card


def test_paths_in_the_command_are_cut_and_anywhere_else_refused(report):
    card = render_card(report, CardData(command="hf-privacy train --config /home/ada/digits.yaml"))
    assert "hf-privacy train --config digits.yaml" in card
    with pytest.raises(InputError, match="absolute path"):
        render_card(report, CardData(description="See /home/ada/notes.txt"))


@pytest.mark.parametrize("field", ["description", "command", "license", "tags"])
def test_a_token_is_refused_wherever_it_is(report, field):
    token = "hf_" + "x9Y8" * 9
    with pytest.raises(InputError, match="access token of the Hub") as caught:
        render_card(report, CardData(**{field: [token] if field == "tags" else token}))
    assert token not in str(caught.value)


def test_hyperparameters_are_scalars(report):
    with pytest.raises(InputError, match="holds a list under 'texts'"):
        render_card(report, CardData(hyperparameters={"texts": ["an example"]}))


def test_a_card_of_ours_is_written_anew(report, tmp_path):
    write_card(tmp_path, None, CardData(model_name="old"))
    path = write_card(tmp_path, report, CardData(**IMAGE))
    assert path.read_text() == render_card(report, CardData(**IMAGE))


def test_another_card_keeps_its_text_and_gets_our_section(report, tmp_path):
    (tmp_path / "README.md").write_text(THEIRS)
    card = write_card(tmp_path, report, CardData(license="apache-2.0", **IMAGE)).read_text()
    assert "# My own words\n\nKept to the letter: *yes*  <b>all</b>." in card
    assert card.count("## Privacy report") == 1
    assert "## How to load it" not in card
    data = ModelCard(card).data
    assert data.license == "mit"
    assert data.custom_key == "kept"
    assert data.tags == ["digits", "hf_privacy", "privacy-audited"]
    assert results_of(card)["f1", None, None] == 0.9
    assert ("membership_inference_auc", "lira", None) in results_of(card)
    assert data.model_name == "theirs"


def test_the_section_is_replaced_in_place_and_writing_twice_changes_nothing(report, quick_report, tmp_path):
    (tmp_path / "README.md").write_text(THEIRS)
    first = write_card(tmp_path, report, CardData(**IMAGE)).read_text() + "\n## After\n"
    (tmp_path / "README.md").write_text(first)
    assert write_card(tmp_path, report, CardData(**IMAGE)).read_text() == first
    changed = write_card(tmp_path, quick_report, CardData(**IMAGE)).read_text()
    assert "LiRA" not in changed
    assert changed.endswith("<!-- hf_privacy:end -->\n\n## After\n")
    assert not [key for key in results_of(changed) if key[1] == "lira"]


def test_a_model_without_report_loses_the_figures_of_an_earlier_one(report, tmp_path):
    (tmp_path / "README.md").write_text(THEIRS)
    write_card(tmp_path, report, CardData(**IMAGE))
    card = write_card(tmp_path, None, CardData(**IMAGE)).read_text()
    assert set(results_of(card)) == {("f1", None, None)}
    assert ModelCard(card).data.tags == ["digits", "hf_privacy", "unaudited"]
    assert "has not been audited" in card


def test_an_audit_takes_the_unaudited_mark_of_an_earlier_push_away(report, tmp_path):
    (tmp_path / "README.md").write_text(unaudited_card(THEIRS, title="x"))
    card = write_card(tmp_path, report, CardData(**IMAGE)).read_text()
    assert "naudited" not in card
    assert "# My own words" in card


def test_a_card_without_metadata_and_one_with_windows_lines(report, tmp_path):
    (tmp_path / "README.md").write_bytes(b"# Mine\r\n\r\ntext\r\n")
    card = write_card(tmp_path, report, CardData(**IMAGE)).read_bytes().decode()
    assert "# Mine\r\n\r\ntext\r\n" in card
    assert "\n" not in card.replace("\r\n", "")
    assert ModelCard(card).data.library_name == "timm"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- hf_privacy:begin -->\n", "keep one of each"),
        ("<!-- hf_privacy:end -->\n<!-- hf_privacy:begin -->\n", "keep one of each"),
        ("---\ntags: [a\n---\n# x\n", "cannot be read"),
        ("---\n- a\n---\n# x\n", "cannot be read"),
        ("---\nmodel-index: [{name: x}]\n---\n# x\n", "cannot be read"),
    ],
)
def test_a_broken_card_is_refused_and_left_as_it_is(report, tmp_path, text, said):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(InputError, match=said):
        write_card(tmp_path, report, CardData())
    assert (tmp_path / "README.md").read_text() == text


def test_card_data_of_an_adapters_folder(tmp_path):
    config = {"base_model_name_or_path": "google-bert/bert-base-uncased", "task_type": "SEQ_CLS", "peft_type": "LORA"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    data = card_data_of_folder(tmp_path)
    assert (data.library_name, data.pipeline_tag, data.base_model) == (
        "peft",
        "text-classification",
        "google-bert/bert-base-uncased",
    )


def test_card_data_of_a_transformers_folder_and_of_an_empty_one(tmp_path):
    assert card_data_of_folder(tmp_path) == CardData()
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    assert card_data_of_folder(tmp_path) == CardData(library_name="transformers", pipeline_tag="text-classification")


def test_figures_over_several_training_runs_have_their_own_table(report_over_runs):
    card = render_card(report_over_runs, CardData())
    assert "| LiRA | 0.765 [0.750, 0.780] | – | 21.0 % [0.0, 43.0] | – |" in card
