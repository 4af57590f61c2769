"""Small data and models on disk: a table, a text file, and a tiny BERT with its tokenizer."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

WORDS = ["good", "bad", "fine", "awful", "film", "plot", "the", "a", "was", "not"]


def table(n_rows: int = 80, seed: int = 0) -> datasets.Dataset:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_rows, 5)).round(4).tolist()
    return datasets.Dataset.from_dict({"features": features, "label": (np.arange(n_rows) % 3).tolist()})


@pytest.fixture
def table_file(tmp_path: Path) -> str:
    path = tmp_path / "table.parquet"
    table().to_parquet(str(path))
    return str(path)


@pytest.fixture
def text_file(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    sentences = [" ".join(rng.choice(WORDS, size=rng.integers(3, 9))) for _ in range(40)]
    rows = datasets.Dataset.from_dict({"sentence": sentences, "label": (np.arange(40) % 2).tolist()})
    path = tmp_path / "sentences.parquet"
    rows.to_parquet(str(path))
    return str(path)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as the Hub would give it: BERT without a classifier, safetensors, and a WordPiece tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    BertTokenizerFast(vocab=numbers, model_max_length=32).save_pretrained(folder)
    return str(folder)


def tabular_recipe(source: str, output_dir: str | Path, **sections) -> dict:
    recipe = {
        "task": "tabular-classification",
        "output_dir": str(output_dir),
        "model": {
            "name_or_path": "hf_privacy_tabular_mlp",
            "from_scratch": True,
            "kwargs": {"hidden_sizes": [8]},
        },
        "data": {"name_or_path": source, "input_column": "features"},
        "training": {"num_train_epochs": 1, "use_cpu": True},
    }
    for name, values in sections.items():
        recipe[name] = {**recipe[name], **values} if isinstance(recipe.get(name), dict) else values
    return recipe


@pytest.fixture
def make_recipe(table_file, tmp_path):
    """A checked recipe on the table: ``make_recipe(data={...}, training={...})``."""
    from hf_privacy.recipe import Recipe

    def make(source: str | None = None, output_dir: Path | None = None, **sections) -> Recipe:
        return Recipe.from_dict(tabular_recipe(source or table_file, output_dir or tmp_path / "run", **sections))

    return make
