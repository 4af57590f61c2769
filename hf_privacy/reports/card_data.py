"""What a model card says beyond the report, by who knows it; and the metadata block built from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_privacy.errors import InputError
from hf_privacy.hub.unaudited import UNAUDITED_TAG
from hf_privacy.reports.leaks import is_hub_id, public_name, refuse_leaks, shorten_paths
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import attacks, robustness, utility

# The only keys our metadata block may hold; whatever else a field carries stays out of the card.
METADATA_FIELDS = (
    "language", "license", "license_name", "license_link", "library_name", "pipeline_tag", "base_model",
    "base_model_relation", "datasets", "tags", "metrics", "model-index",
)  # fmt: skip
OUR_TAG = "hf_privacy"
AUDITED_TAG = "privacy-audited"

_TASK_OF_ENDING = {
    "ForImageClassification": "image-classification",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "TabularMLPForClassification": "tabular-classification",
    "ForCausalLM": "text-generation",
}
_TASK_OF_PEFT = {"SEQ_CLS": "text-classification", "TOKEN_CLS": "token-classification", "CAUSAL_LM": "text-generation"}


@dataclass(kw_only=True)
class CardData:
    """What the card says beyond the report, in three groups: the user gives, the trainer fills, the card computes.

    Parameters
    ----------
    model_name : str, optional
        The user gives this and what follows. Title of the card.
    repo_id : str, optional
        ``owner/name`` the model is published under, for the loading example.
    license, license_name, license_link : str, optional
        As the Hub's metadata has them; nothing is written when they are not given.
    language : str or list of str, optional
    datasets : list of str, optional
        Hub ids of the training data; by default the report's dataset where that is a Hub id.
    tags : list of str
    description, intended_use : str, optional
        Markdown paragraphs.
    library_name : str, optional
        The trainer fills this and what follows. "transformers", "timm" or "peft".
    pipeline_tag : str, optional
        The Hub's task name, such as "image-classification".
    base_model : str, optional
        What was fine-tuned; written to the metadata only where it is a Hub id.
    hyperparameters : dict
        Scalars; by default the report's ``training``.
    command : str, optional
        The command line that made the model; absolute paths in it are cut to their last part.
    metadata : dict
        Computed: the metadata block of the last rendering.

    Examples
    --------
    >>> CardData(license="mit", pipeline_tag="image-classification").license
    'mit'
    """

    # the user gives
    model_name: str | None = None
    repo_id: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: str | list[str] | None = None
    datasets: list[str] | None = None
    tags: list[str] = field(default_factory=list)
    description: str | None = None
    intended_use: str | None = None
    # the trainer fills
    library_name: str | None = None
    pipeline_tag: str | None = None
    base_model: str | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    command: str | None = None
    # computed when the card is rendered
    metadata: dict[str, Any] = field(default_factory=dict, init=False)

    def compute(self, report: Report | None) -> dict[str, Any]:
        """Build the metadata block, keep it in `metadata` and return it.

        Parameters
        ----------
        report : Report or None
            None for a model that was not audited.

        Raises
        ------
        InputError
            When a field holds a token or an absolute path, or a dataset given by the user is no Hub id.
        """
        for given in self.datasets or []:
            if not is_hub_id(given, pinned=True):
                raise InputError(f"datasets of the card holds {given!r}, which is no Hub id: leave local data out")
        base = self.base_model or (report.model["base_model"] if report else None)
        pinned = report is not None and report.model["base_revision"] is not None
        base_id = base if is_hub_id(base, pinned=pinned) else None
        adapter = self.library_name == "peft" or (report is not None and report.model["adapter"] is not None)
        values = ModelCardData(
            language=self.language,
            license=self.license,
            license_name=self.license_name,
            license_link=self.license_link,
            library_name=self.library_name,
            pipeline_tag=self.pipeline_tag,
            base_model=base_id,
            base_model_relation=("adapter" if adapter else "finetune") if base_id else None,
            datasets=self.datasets or _dataset_ids(report),
            tags=[OUR_TAG, AUDITED_TAG if report else UNAUDITED_TAG, *_defense_tag(report), *self.tags],
            metrics=utility.metrics(report) if report else None,
            model_name=self.title(report),
            eval_results=_results(report, task=self.pipeline_tag or "other") if report else None,
        ).to_dict()
        self.metadata = {name: values[name] for name in METADATA_FIELDS if name in values}
        refuse_leaks(self.metadata, name="the card's metadata")
        return self.metadata

    def title(self, report: Report | None) -> str:
        """Give the model's name as the card shows it: given, else the report's, else the repository's."""
        name = self.model_name or (report.model["name"] if report else None)
        return public_name(name) if name else (self.repo_id or "model").rpartition("/")[2]

    def shown_base(self, report: Report | None) -> str | None:
        """Give the base model's name for the text: a Hub id, or the last part of a local path."""
        base = self.base_model or (report.model["base_model"] if report else None)
        return public_name(base, pinned=bool(report and report.model["base_revision"])) if base else None

    def base_revision(self, report: Report | None) -> str | None:
        """Give the commit of the base model, where the report knows it and the base is the report's."""
        if report is None or report.model["base_revision"] is None:
            return None
        ours = self.base_model in (None, report.model["base_model"])
        return report.model["base_revision"] if ours else None

    def shown_command(self) -> str | None:
        """Give the command without this machine's paths."""
        return shorten_paths(self.command) if self.command else None


def card_data_of_folder(folder: str | Path) -> CardData:
    """Read the trainer's part of the card data off a saved model's configuration.

    Parameters
    ----------
    folder : path
        With ``config.json`` (transformers, timm) or ``adapter_config.json`` (peft).

    Returns
    -------
    CardData
        Library, task and base model, as far as the configuration says.

    Raises
    ------
    InputError
        When a configuration file is not JSON.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     content = '{"model_type": "timm_wrapper", "architectures": ["TimmWrapperForImageClassification"]}'
    ...     _ = Path(folder, "config.json").write_text(content)
    ...     data = card_data_of_folder(folder)
    >>> data.library_name, data.pipeline_tag
    ('timm', 'image-classification')
    """
    adapter = _read_json(Path(folder) / "adapter_config.json")
    config = _read_json(Path(folder) / "config.json")
    architecture = (config.get("architectures") or [""])[0]
    task = next((task for ending, task in _TASK_OF_ENDING.items() if architecture.endswith(ending)), None)
    if adapter:
        return CardData(
            library_name="peft",
            pipeline_tag=_TASK_OF_PEFT.get(adapter.get("task_type") or "", task),
            base_model=adapter.get("base_model_name_or_path"),
        )
    library = "timm" if config.get("model_type") == "timm_wrapper" else "transformers"
    return CardData(library_name=library if config else None, pipeline_tag=task)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON ({error}): save the model again") from error


def _dataset_ids(report: Report | None) -> list[str] | None:
    if report is None:
        return None
    name = report.dataset["name"]
    return [name] if is_hub_id(name, pinned=report.dataset["revision"] is not None) else None


def _defense_tag(report: Report | None) -> list[str]:
    return [f"defense:{report.defense['name']}"] if report and report.defense["name"] != "none" else []


def _results(report: Report, *, task: str) -> list[EvalResult]:
    ids = _dataset_ids(report)
    dataset = {
        "task_type": task,
        "dataset_type": ids[0] if ids else "local",
        "dataset_name": public_name(report.dataset["name"], pinned=bool(ids)),
        "dataset_revision": report.dataset["revision"] if ids else None,
    }
    return [
        *utility.results(report, dataset),
        *robustness.results(report, dataset),
        *attacks.results(report, dataset, robustness.adversary_words(report)),
    ]
