"""What is audited has the model's classes: labels are matched by name, and a base checkpoint must have the same."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy import audit
from hf_privacy.auditing.inputs import with_classes
from hf_privacy.errors import InputError
from hf_privacy.models import load_model

CLASSES = ["anger", "joy", "sadness"]


def column(values, feature=None) -> Dataset:
    return Dataset.from_dict({"label": values}, features=None if feature is None else Features({"label": feature}))


def named(rows: Dataset, classes) -> list[str]:
    return [classes[number] for number in rows["label"][:]]


@settings(max_examples=20, deadline=None)
@given(st.permutations(CLASSES), st.lists(st.integers(0, 2), min_size=1, max_size=10))
def test_labels_are_the_models_whatever_order_the_dataset_has(names, numbers):
    wanted = [names[number] for number in numbers]
    for rows in (column(numbers, ClassLabel(names=list(names))), column(wanted)):
        assert named(with_classes(rows, "label", CLASSES), CLASSES) == wanted


def test_numbers_are_the_models_own_unless_they_are_its_names():
    unnamed = ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert with_classes(column([2, 0]), "label", unnamed)["label"][:] == [2, 0]
    assert with_classes(column([2, 0]), "label", CLASSES)["label"][:] == [2, 0]
    assert with_classes(column([10, 0, 5]), "label", ["0", "5", "10"])["label"][:] == [2, 0, 1]
    assert with_classes(column([True, False], Value("bool")), "label", ["False", "True"])["label"][:] == [1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["joy", "fear"], "has the class 'fear' and the model tells anger, joy, sadness apart"),
        ([0, 3], "goes up to 3"),
    ],
)
def test_a_class_the_model_does_not_have_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        with_classes(column(values), "label", CLASSES)


def test_a_base_checkpoint_of_another_order_is_refused(rows, split, make_trainer, tmp_path):
    def named_model(names):
        return load_model(
            "hf_privacy_tabular_mlp",
            task="tabular-classification",
            num_labels=3,
            id2label=names,
            from_scratch=True,
            model_kwargs={"input_size": 6, "hidden_sizes": [4]},
        )

    with pytest.raises(InputError, match="base_model has the classes sadness, joy, anger and the target anger, joy"):
        audit(
            named_model(CLASSES),
            rows,
            split,
            output_dir=tmp_path,
            depth="quick",
            base_model=named_model(CLASSES[::-1]),
            show_progress=False,
        )


def test_splits_and_streams_are_one_sentence(rows, split, tmp_path):
    model = load_model(
        "hf_privacy_tabular_mlp",
        task="tabular-classification",
        num_labels=3,
        from_scratch=True,
        model_kwargs={"input_size": 6, "hidden_sizes": [4]},
    )
    others = {"holds the splits train": DatasetDict(train=rows), "streaming=False": rows.to_iterable_dataset()}
    for message, dataset in others.items():
        with pytest.raises(InputError, match=message):
            audit(model, dataset, split, output_dir=tmp_path, depth="quick")
