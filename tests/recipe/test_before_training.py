"""Whatever a later stage would stumble over is one sentence before any training, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, prepare
from hf_privacy.recipe.experiment import check_set_up


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        # chosen on the audit's non-members
        (
            {"training": {"load_best_model_at_end": True}},
            "load_best_model_at_end is True: it chooses by the evaluation",
        ),
        ({"training": {"metric_for_best_model": "loss"}}, "which is the audit's non-members"),
        ({"training": {"save_strategy": "best"}}, "save_strategy is 'best': it chooses"),
        ({"training": {"lr_scheduler_type": "reduce_lr_on_plateau"}}, "use defense early_stopping"),
        # trackers
        ({"training": {"report_to": "comet_ml"}}, "report_to is 'comet_ml', which is not installed"),
        ({"training": {"report_to": ["wandbb"]}}, "unknown key 'wandbb' in training.report_to: did you mean 'wandb'"),
        # numbers
        ({"training": {"seed": -1}}, "training.seed is -1: pass a whole number"),
        ({"training": {"seed": 2**32}}, "training.seed is 4294967296"),
        ({"training": {"data_seed": -5}}, "training.data_seed is -5"),
        ({"training": {"num_train_epochs": float("nan")}}, "training.num_train_epochs is nan"),
        ({"training": {"num_train_epochs": 1e300}}, r"num_train_epochs is 1e\+300: pass at most a million"),
        ({"training": {"learning_rate": float("inf")}}, "training.learning_rate is inf"),
        (
            {"training": {"per_device_eval_batch_size": 0}},
            "training.per_device_eval_batch_size is 0",
        ),
        ({"training": {"max_grad_norm": float("nan")}}, "max_grad_norm is nan"),
        ({"training": {"weight_decay": -0.1}}, "training.weight_decay is -0.1"),
        ({"training": {"logging_steps": 0}}, "logging_steps is 0"),
        ({"training": {"adam_beta1": 1.0}}, r"adam_beta1 is 1.0: pass a number in \[0, 1\)"),
        ({"data": {"split_seed": -1}}, "data.split_seed is -1: pass a whole number from 0"),
        ({"data": {"member_seed": -1}}, "data.member_seed is -1"),
        ({"data": {"member_fraction": float("nan")}}, "data.member_fraction is nan"),
        # set-up of the trainer
        ({"training": {"optim": "galore_adamw"}}, "training.optim galore_adamw cannot be used|'training' is refused"),
        (
            {"training": {"lr_scheduler_type": "cosine_with_min_lr"}},
            "lr_scheduler_type cosine_with_min_lr cannot be used",
        ),
        ({"training": {"optim": 5}}, "'optim' is 5: pass"),
        ({"training": {"report_to": 5}}, "'report_to' is 5: pass"),
        # later stages
        ({"push": {"max_auc": 1.5}}, "push.max_auc is 1.5"),
        ({"push": {"max_tpr_at_fpr": {0.01: "high"}}}, "push.max_tpr_at_fpr is"),
        ({"push": {"repo_id": "a/b/c"}}, "push.repo_id is 'a/b/c': pass owner/name"),
        ({"unlearning": {"method": "forget_it"}}, "unknown key 'forget_it' in unlearning.method"),
        ({"unlearning": {"method": "salun", "training": {"fraction": 2.0}}}, "fraction is 2.0"),
        (
            {"unlearning": {"method": "salun", "training": {"load_best_model_at_end": True}}},
            "unlearning.training.load_b",
        ),
        ({"unlearning": {"method": "salun", "request": {"label": 17}}}, "label is 17"),
        ({"unlearning": {"method": "salun", "request": {"rows": [10**6]}}}, "are not in the training set"),
        ({"unlearning": {"request": {"rows": []}}}, "rows is empty"),
        ({"audit": {"queries": ["identity", "flip"]}}, "only images are flipped"),
        ({"audit": {"canaries": 5000}}, "audit.canaries is 5,000 and 40 rows lie outside the training set"),
        # columns
        ({"data": {"input_column": []}}, "data.input_column is []"),
        ({"data": {"input_column": ["features", "features"]}}, "data.input_column is"),
        ({"data": {"label_names": ["a"]}}, "no name is given for"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[:60],
)
def test_one_sentence_before_any_training(make_recipe, tmp_path, sections, message):
    with pytest.raises(InputError, match=message.replace("[]", r"\[\]")) as refused:
        prepare(make_recipe(**sections)).trainer(output_dir=tmp_path / "trainer")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("where", ["file", "below a file", "dangling link"])
def test_an_output_folder_that_cannot_be_is_refused(make_recipe, tmp_path, where):
    (tmp_path / "taken").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    place = {"file": "taken", "below a file": "taken/run", "dangling link": "link"}[where]
    with pytest.raises(InputError, match="choose another folder"):
        prepare(make_recipe(output_dir=tmp_path / place))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever may write everywhere is not refused")
def test_a_folder_that_may_not_be_written_to_is_refused(make_recipe, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="may not write there"):
        prepare(make_recipe(output_dir=tmp_path / "closed" / "run"))


def test_a_set_up_that_works_is_left_alone(make_recipe):
    trainer = prepare(make_recipe(training={"lr_scheduler_type": "cosine", "warmup_steps": 2})).trainer()
    check_set_up(trainer)
    assert trainer.optimizer is None


def text_recipe(tmp_path: Path, source: str, model: dict, **data) -> Recipe:
    return Recipe.from_dict(
        {
            "task": "text-classification",
            "output_dir": str(tmp_path / "run"),
            "model": model,
            "data": {"name_or_path": source, "input_column": "sentence", **data},
            "training": {"num_train_epochs": 1, "per_device_train_batch_size": 10, "use_cpu": True},
        }
    )


def test_texts_are_cut_at_what_the_model_has_positions_for(tmp_path, tiny_bert):
    rows = datasets.Dataset.from_dict({"sentence": ["good film " * 40] * 10, "label": [0, 1] * 5})
    rows.to_parquet(tmp_path / "long.parquet")
    experiment = prepare(text_recipe(tmp_path, str(tmp_path / "long.parquet"), {"name_or_path": tiny_bert}))
    assert experiment.dataset.column("input_ids").shape == (10, 32)
    experiment.trainer().train()


def test_an_image_of_another_size_than_the_models_is_refused(tmp_path):
    kwargs = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    recipe = Recipe.from_dict(
        {
            "output_dir": str(tmp_path / "run"),
            "model": {
                "name_or_path": "vit",
                "from_scratch": True,
                "kwargs": {**kwargs, "image_size": 8, "patch_size": 4, "num_channels": 1},
            },
            "data": {"name_or_path": "digits", "max_examples": 40, "near_repeats": False},
            "training": {"use_cpu": True},
        }
    )
    prepare(recipe)
    with pytest.raises(InputError, match="ViTForImageClassification cannot take pixel_values of shape 1×12×12"):
        prepare(recipe.override({"data.image_size": 12}))


# ---- classes ----


def labelled(tmp_path: Path, labels) -> str:
    rng = np.random.default_rng(0)
    rows = {"features": rng.normal(size=(len(labels), 5)).tolist(), "label": list(labels)}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "labelled.parquet")
    return str(tmp_path / "labelled.parquet")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0, 5, 10], ["0", "5", "10"]),
        ([-1, 1], ["-1", "1"]),
        ([7_000_000, 12_000_000_000], ["7000000", "12000000000"]),
        (["sad", "glad", "None"], ["None", "glad", "sad"]),
    ],
    ids=str,
)
def test_classes_are_the_labels_that_occur(make_recipe, tmp_path, values, names):
    labels = [values[number % len(values)] for number in range(60)]
    experiment = prepare(make_recipe(labelled(tmp_path, labels), data={"label_noise": 0.2}))
    assert experiment.classes == names
    numbers = experiment.dataset.column("labels").numpy()
    turned = [names[number] != str(label) for number, label in zip(numbers, labels, strict=True)]
    assert np.array_equal(turned, experiment.mislabelled)
    assert sum(turned) == 12
    trainer = experiment.trainer()
    assert list(trainer.model.config.id2label.values()) == names
    trainer.train()


def test_a_request_names_a_class_as_the_data_do(make_recipe, tmp_path):
    from hf_privacy.data import ForgetRequest
    from hf_privacy.recipe import requested_rows

    experiment = prepare(make_recipe(labelled(tmp_path, [0, 5, 10] * 20)))
    labels = np.array([0, 5, 10] * 20)
    for request in (ForgetRequest(label=5), ForgetRequest(label="5"), ForgetRequest(where={"label": 5})):
        rows = requested_rows(experiment, request)
        assert set(labels[rows]) == {5}
        assert len(rows) == (labels[experiment.split.members] == 5).sum()


def test_label_names_name_and_order_classes(make_recipe, tmp_path):
    source = labelled(tmp_path, ["b", "a"] * 20)
    assert prepare(make_recipe(source, data={"label_names": ["b", "a"]})).classes == ["b", "a"]
    source = labelled(tmp_path, [1, 0] * 20)
    assert prepare(make_recipe(source, data={"label_names": {0: "no", 1: "yes"}})).classes == ["no", "yes"]


# ---- sentence pairs ----


def test_sentence_pairs_go_the_whole_way(tmp_path, tiny_bert):
    from hf_privacy import audit
    from hf_privacy.data import ForgetRequest, example_ids, make_canaries
    from hf_privacy.recipe import requested_rows, unlearner, unlearning_rows

    rng = np.random.default_rng(0)
    words = ["good", "bad", "fine", "awful", "film", "plot"]
    texts = [[" ".join(rng.choice(words, size=4)) for _ in range(60)] for _ in range(2)]
    rows = datasets.Dataset.from_dict({"premise": texts[0], "hypothesis": texts[1], "label": ["entailed", "not"] * 30})
    rows.to_csv(str(tmp_path / "pairs.csv"))
    columns = ["premise", "hypothesis"]
    recipe = text_recipe(
        tmp_path, str(tmp_path / "pairs.csv"), {"name_or_path": tiny_bert}, input_column=columns, repeats="drop"
    ).override({"unlearning.method": "fine_tune"})
    experiment = prepare(recipe)
    types = experiment.dataset.column("token_type_ids")
    assert types.max() == 1  # both sentences are there
    assert experiment.repeats.columns == tuple(columns)
    trainer = experiment.trainer()
    trainer.train()
    report = audit(
        trainer,
        experiment.rows,
        experiment.split,
        output_dir=tmp_path / "audit",
        depth="quick",
        input_column=columns,
        show_progress=False,
    )
    assert report.dataset["n_examples"] == len(experiment.dataset)
    canaries = make_canaries(
        experiment.dataset,
        n=5,
        members=experiment.split.members,
        n_classes=2,
        kind="random",
        tokenizer=experiment.processor,
    )
    assert canaries.column("token_type_ids").max() == 1
    member = int(experiment.split.members[3])
    name = str(example_ids(experiment.rows.select_columns([*columns, "label"]))[member])
    forget = requested_rows(experiment, ForgetRequest(ids=[name]))
    assert forget.tolist() == [member]
    parts = unlearning_rows(experiment, forget)
    unlearner(experiment, parts, trainer.model, output_dir=tmp_path / "unlearned").unlearn()
