"""compute_signals: what the model sees, what it is left as, and one process against two."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torchrun import on_two_processes

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import (
    SIGNAL_NAMES,
    average_queries,
    compute_features,
    compute_signals,
    label_only_correct,
    signals_from_logits,
)

SCRIPT = Path(__file__).with_name("two_process_signals.py")
ROOT = Path(__file__).resolve().parents[2]


class Probe(torch.nn.Module):
    """A linear classifier of 2 × 2 images that notes how it was called."""

    def __init__(self, n_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(4, n_classes)
        self.dropout = torch.nn.Dropout(0.5)
        self.norm = torch.nn.BatchNorm1d(n_classes)
        self.calls: list[dict] = []

    def forward(self, **inputs):
        self.calls.append(
            {"names": set(inputs), "training": self.training, "inference": torch.is_inference_mode_enabled()}
        )
        logits = self.norm(self.linear(self.dropout(inputs["pixel_values"].flatten(1))))
        return SimpleNamespace(logits=logits)


def images(n_examples: int = 11) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(n_examples, 1, 2, 2, generator=generator)
    return TensorDataset({"pixel_values": pixels, "labels": torch.arange(n_examples) % 3})


def test_signals_are_those_of_the_models_logits_in_the_datasets_order():
    model, dataset = Probe(), images()
    signals = compute_signals(model, dataset, batch_size=4)
    batch = dataset.__getitems__(list(range(11)))
    expected = signals_from_logits(model.eval()(pixel_values=batch["pixel_values"]).logits, batch["labels"])
    assert set(signals) == set(SIGNAL_NAMES)
    for name in SIGNAL_NAMES:
        assert signals[name].dtype == np.float64
        np.testing.assert_allclose(signals[name], expected[name].numpy()[None], rtol=1e-5, atol=1e-6)


def test_trap_2_labels_never_reach_the_model():
    model = Probe()
    compute_signals(model, images())
    assert all(call["names"] == {"pixel_values"} for call in model.calls)


def test_the_model_runs_in_evaluation_and_inference_mode_and_keeps_its_statistics():
    model = Probe().train()
    before = model.norm.running_mean.clone()
    compute_signals(model, images())
    assert all(not call["training"] and call["inference"] for call in model.calls)
    assert torch.equal(model.norm.running_mean, before)


def test_every_module_gets_its_own_mode_back_even_after_an_error():
    model = Probe().train()
    model.norm.eval()
    compute_signals(model, images())
    assert (model.training, model.dropout.training, model.norm.training) == (True, True, False)
    model.linear.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="diverged"):
        compute_signals(model, images())
    assert (model.training, model.dropout.training, model.norm.training) == (True, True, False)


def test_the_flip_query_is_the_mirrored_image():
    model, dataset = Probe(), images()
    both = compute_signals(model, dataset, queries=("flip", "identity"))
    pixels = dataset.column("pixel_values").flip(-1)
    mirrored = compute_signals(model, TensorDataset({"pixel_values": pixels, "labels": dataset.column("labels")}))
    np.testing.assert_array_equal(both["phi"][0], mirrored["phi"][0])
    np.testing.assert_array_equal(both["phi"][1], compute_signals(model, dataset)["phi"][0])


def test_queries_average_to_one_row():
    signals = compute_signals(Probe(), images(), queries=("identity", "flip"))
    averaged = average_queries(signals)
    np.testing.assert_allclose(averaged["loss"], (signals["loss"][0] + signals["loss"][1]) / 2)


def test_the_training_augmentation_of_a_dataset_is_left_out():
    model, dataset = Probe(), images()
    augmented = dataset.with_augmentation(lambda pixels: pixels * 0)
    np.testing.assert_array_equal(compute_signals(model, augmented)["phi"], compute_signals(model, dataset)["phi"])


def test_an_accelerator_of_one_process_changes_nothing():
    model, dataset = Probe(), images()
    alone = compute_signals(model, dataset, batch_size=4)
    under = compute_signals(model, dataset, batch_size=4, accelerator=Accelerator(cpu=True))
    np.testing.assert_array_equal(alone["phi"], under["phi"])


@pytest.mark.parametrize(
    ("queries", "message"),
    [(("rotate",), "queries is"), ((), "queries is"), (("identity", "identity"), "each once")],
)
def test_bad_queries_are_refused(queries, message):
    with pytest.raises(InputError, match=message):
        compute_signals(Probe(), images(), queries=queries)


def test_flip_is_refused_without_images():
    dataset = TensorDataset({"features": torch.zeros(2, 4), "labels": torch.zeros(2, dtype=torch.long)})
    with pytest.raises(InputError, match="flip is for images"):
        compute_signals(Probe(), dataset, queries=("flip",))


def test_an_empty_dataset_or_one_without_labels_is_refused():
    with pytest.raises(InputError, match="dataset is empty"):
        compute_signals(Probe(), images(0))
    with pytest.raises(InputError, match="need a labels column"):
        compute_signals(Probe(), TensorDataset({"pixel_values": torch.zeros(2, 1, 2, 2)}))


def test_labels_outside_the_models_range_are_refused():
    dataset = TensorDataset({"pixel_values": torch.zeros(2, 1, 2, 2), "labels": torch.tensor([0, 7])})
    with pytest.raises(InputError, match="labels go from 0 to 7"):
        compute_signals(Probe(), dataset)


def test_trap_7_two_processes_see_every_example_once_and_equal_one_process_exactly(tmp_path):
    """1 example (one process has none) and 37 (no multiple of anything) under a DDP-wrapped model."""
    on_two_processes(SCRIPT, tmp_path, CUDA_VISIBLE_DEVICES="")
    spec = importlib.util.spec_from_file_location("two_process_signals", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    threads = torch.get_num_threads()
    try:
        for n_examples in (1, 37):
            model, dataset = script.example(n_examples)
            alone = compute_signals(model, dataset, batch_size=8, **script.SETTINGS)
            features = compute_features(model, dataset, batch_size=8)
            augmented = label_only_correct(model, dataset, batch_size=8)
            for rank in (0, 1):
                with np.load(tmp_path / f"{n_examples}_{rank}.npz") as together:
                    for name in (*SIGNAL_NAMES, "curvature", "curvature_trace"):
                        assert together[name].shape == (3, n_examples)
                        np.testing.assert_array_equal(together[name], alone[name])
                    assert together["features"].shape == (n_examples, 8)
                    np.testing.assert_array_equal(together["features"], features)
                    np.testing.assert_array_equal(together["augmented"], augmented)
    finally:
        torch.set_num_threads(threads)
