"""SOFT: the rows that a model learns first are replaced by paraphrases of them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch.utils.data import Dataset
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import TensorDataset
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.soft.config import SOFTConfig
from hf_privacy.errors import InputError
from hf_privacy.signals import compute_signals
from hf_privacy.tasks import LANGUAGE_MODELS

REPLACED_FILE = "replaced_rows.npy"  # in a checkpoint: which rows are, bool[N]; private as they are


class SOFTTrainer(PrivacyTrainer):
    """`PrivacyTrainer` of a language model that puts paraphrases in the place of the rows it learns first.

    After ``warmup_epochs`` epochs on the rows as they are, each row's mean loss is taken, and of the
    ``replaced_share`` of the rows with the lowest losses those with a paraphrase are replaced by it, for the rest of
    the training. A row without a paraphrase stays what it is. Paraphrases are the user's: ``paraphrase_column`` of
    `hf_privacy.data.encode_language`, in a recipe ``data.paraphrase_column``.

    A row that was replaced is still a member: it was trained on in the warm-up, and what is audited is the row itself,
    not its paraphrase. Evaluation is on the rows as they are too. Which rows are replaced depends on all of them. How
    many were, and how many had nothing to be replaced by, is in the log history (``replaced_rows``,
    ``without_paraphrase``); which, in the checkpoints alone.

    Parameters
    ----------
    args : SOFTConfig
    train_dataset : TensorDataset
        With paraphrases (`TensorDataset.has_paraphrase`).
    **others
        As in `PrivacyTrainer`.

    Raises
    ------
    InputError
        Without a paraphrase of any row, or with workers that outlive an epoch.

    References
    ----------
    Zhang et al. (2025), "SOFT: selective data obfuscation for protecting LLM fine-tuning against membership inference
    attacks", USENIX Security, arXiv 2506.10424. Departs from it in who writes the paraphrases: none is generated here.

    Examples
    --------
    >>> from hf_privacy.defenses import SOFTTrainer
    >>> SOFTTrainer.paper["id"]
    'arXiv:2506.10424'
    """

    config_class: ClassVar[type[PrivacyConfig]] = SOFTConfig
    defense_name: ClassVar[str] = "soft"
    tasks: ClassVar[tuple[str, ...]] = LANGUAGE_MODELS
    needs_paraphrases: ClassVar[bool] = True
    # What a row is replaced by is its own; whether it is, is said of its loss among the others'.
    couples_rows: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "SOFT: Selective Data Obfuscation for Protecting LLM Fine-tuning against Membership Inference "
        "Attacks",
        "id": "arXiv:2506.10424",
        "citation": "Kaiyuan Zhang, Siyuan Cheng, Hanxi Guo, Yuetian Chen, Zian Su, Shengwei An, Yuntao Du, Charles "
        "Fleming, Ashish Kundu, Xiangyu Zhang and Ninghui Li. SOFT: Selective Data Obfuscation for Protecting LLM "
        "Fine-tuning against Membership Inference Attacks. USENIX Security 2025.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"replaced_share": [0.1, 0.3, 0.5, 0.8, 1.0]}

    args: SOFTConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        data = self.train_dataset
        if not isinstance(data, TensorDataset) or data.has_paraphrase is None or not data.has_paraphrase.any():
            raise InputError(
                "train_dataset has no paraphrases: encode it with paraphrase_column, in a recipe name "
                "data.paraphrase_column"
            )
        if self.args.dataloader_persistent_workers:
            raise InputError(
                "dataloader_persistent_workers is set: they would go on with the rows of the first epoch; leave it out"
            )
        self._replaced: np.ndarray | None = None
        self._rows: _Rows | None = None
        self.add_callback(_ReplacementCallback(self))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As in `PrivacyTrainer`; warns where it ended before rows were replaced."""
        self._replaced = None
        result = super().train(*args, **kwargs)
        if self._replaced is None:
            warnings.warn(
                f"training ended at step {self.state.global_step}, within its warm-up: no row was replaced",
                stacklevel=2,
            )
        return result

    def get_train_dataloader(self) -> Any:
        """As in `PrivacyTrainer`, of rows that will be replaced."""
        data = self.train_dataset
        if data is None:
            return super().get_train_dataloader()
        self._rows = _Rows(data, self._replaced)
        self.train_dataset = self._rows
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = data

    def replace_rows(self) -> None:
        """Rank the rows by their losses now, and replace the lowest where they have a paraphrase."""
        losses = compute_signals(self.model, self.train_dataset)["loss"][0]
        chosen = np.zeros(len(losses), dtype=bool)
        # A share that is a whole number of rows is one, however it is rounded.
        n_chosen = max(1, int(self.args.replaced_share * len(losses) + 1e-6))
        chosen[np.argsort(losses, kind="stable")[:n_chosen]] = True
        # One process decides for all.
        chosen = broadcast_object_list([chosen])[0] if self.args.world_size > 1 else chosen
        self._replaced = chosen & self.train_dataset.has_paraphrase
        self._rows.replace(self._replaced)
        n_replaced = int(self._replaced.sum())
        counts = {"replaced_rows": n_replaced, "without_paraphrase": n_chosen - n_replaced}
        self.state.log_history.append({**counts, "epoch": self.state.epoch, "step": self.state.global_step})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        file = Path(resume_from_checkpoint) / REPLACED_FILE
        self._replaced = np.load(file, allow_pickle=False) if file.is_file() else None
        if self._replaced is not None and len(self._replaced) != len(self.train_dataset):
            raise InputError(
                f"the checkpoint {Path(resume_from_checkpoint).name} is of {len(self._replaced)} rows and "
                f"train_dataset has {len(self.train_dataset)}: resume with the rows it was trained on"
            )


class _ReplacementCallback(TrainerCallback):
    """Replaces rows when the warm-up is over, and keeps in each checkpoint which."""

    def __init__(self, trainer: SOFTTrainer) -> None:
        self._trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        if self._trainer._replaced is None and int(state.epoch or 0) >= args.warmup_epochs:
            self._trainer.replace_rows()

    def on_save(self, args, state, control, **kwargs) -> None:
        checkpoint = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if state.is_world_process_zero and self._trainer._replaced is not None and checkpoint.is_dir():
            content = io.BytesIO()
            np.save(content, self._trainer._replaced)
            write_atomically(checkpoint / REPLACED_FILE, content.getvalue())


class _Rows(Dataset):
    """Rows, some of which are their paraphrases."""

    augmentation = None  # of tokens there is none

    def __init__(self, rows: TensorDataset, replaced: np.ndarray | None) -> None:
        self._as_they_are = self._now = rows
        if replaced is not None:
            self.replace(replaced)

    def replace(self, where: np.ndarray) -> None:
        self._now = self._as_they_are.paraphrased(where)

    def __len__(self) -> int:
        return len(self._now)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self._now[index]

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        return self._now.__getitems__(indices)
