"""Started twice at once by test_train.py: train the references of one store, and say which were trained here."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

import hf_privacy.references.train
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import load_model
from hf_privacy.references import reference_run

N_MODELS = 8


def model_init() -> torch.nn.Module:
    """An adapter on two modules: peft keeps their names in a set, whose order differs between processes."""
    model = load_model(
        "hf_privacy_tabular_mlp",
        task="tabular-classification",
        num_labels=3,
        from_scratch=True,
        model_kwargs={"input_size": 6, "hidden_sizes": [8, 8]},
        seed=0,
    )
    return get_peft_model(model, LoraConfig(r=2, target_modules=["layers.0", "layers.1", "classifier"]))


def main() -> None:
    """Meet the other process, then train until the store is whole."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    dataset = TensorDataset(
        {
            "features": torch.randn(80, 6, generator=generator),
            "labels": torch.randint(3, (80,), generator=generator),
        }
    )
    split = MembershipSplit(range(30), range(30, 60), range(60, 80), n_examples=80, dataset_fingerprint="d")
    args = PrivacyConfig(
        output_dir=str(folder / "target"),
        num_train_epochs=8,
        learning_rate=0.05,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = PrivacyTrainer(args=args, model_init=model_init, train_dataset=dataset.subset(split.members))
    run = reference_run(trainer, dataset, split, folder / "store", n_models=N_MODELS)

    trained = []
    real = hf_privacy.references.train._keep

    def recorded(*arguments) -> None:
        trained.append(arguments[4])
        real(*arguments)

    hf_privacy.references.train._keep = recorded
    (folder / f"ready_{name}").touch()
    while len(list(folder.glob("ready_*"))) < 2:
        time.sleep(0.01)
    run.train()
    print(json.dumps({"hash": run.store.metadata["recipe_hash"], "trained": trained}))


if __name__ == "__main__":
    main()
