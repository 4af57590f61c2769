"""What a model card says beyond the report, by who knows it; and the metadata block built from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCardData

from hf_privacy.errors import InputError
from hf_privacy.hub.evidence import ADVERSARIAL, all_attacks, p_value_of
from hf_privacy.hub.unaudited import UNAUDITED_TAG
from hf_privacy.reports.leaks import is_hub_id, public_name, refuse_leaks, shorten_paths
from hf_privacy.reports.titles import epsilon_text, norm_title

if TYPE_CHECKING:
    from hf_privacy.reports.report import PrivacyReport

# The only keys our metadata block may hold; whatever else a field carries stays out of the card.
METADATA_FIELDS = (
    "language", "license", "license_name", "license_link", "library_name", "pipeline_tag", "base_model",
    "base_model_relation", "datasets", "tags", "metrics", "model-index",
)  # fmt: skip
OUR_TAG = "hf_privacy"
AUDITED_TAG = "privacy-audited"
AUC_METRIC, TPR_METRIC = "membership_inference_auc", "membership_inference_tpr_at_fpr"
ROBUST_METRIC = "robust_accuracy"
HELD_OUT_SPLIT = "held-out (non-members)"

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

    def compute(self, report: PrivacyReport | None) -> dict[str, Any]:
        """Build the metadata block, keep it in `metadata` and return it.

        Parameters
        ----------
        report : PrivacyReport or None
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
            metrics=["accuracy"] if report else None,
            model_name=self.title(report),
            eval_results=_eval_results(report, task=self.pipeline_tag or "other") if report else None,
        ).to_dict()
        self.metadata = {name: values[name] for name in METADATA_FIELDS if name in values}
        refuse_leaks(self.metadata, name="the card's metadata")
        return self.metadata

    def title(self, report: PrivacyReport | None) -> str:
        """Give the model's name as the card shows it: given, else the report's, else the repository's."""
        name = self.model_name or (report.model["name"] if report else None)
        return public_name(name) if name else (self.repo_id or "model").rpartition("/")[2]

    def shown_base(self, report: PrivacyReport | None) -> str | None:
        """Give the base model's name for the text: a Hub id, or the last part of a local path."""
        base = self.base_model or (report.model["base_model"] if report else None)
        return public_name(base, pinned=bool(report and report.model["base_revision"])) if base else None

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


def _dataset_ids(report: PrivacyReport | None) -> list[str] | None:
    if report is None:
        return None
    name = report.dataset["name"]
    return [name] if is_hub_id(name, pinned=report.dataset["revision"] is not None) else None


def _defense_tag(report: PrivacyReport | None) -> list[str]:
    return [f"defense:{report.defense['name']}"] if report and report.defense["name"] != "none" else []


def _eval_results(report: PrivacyReport, *, task: str) -> list[EvalResult]:
    ids = _dataset_ids(report)
    dataset = {
        "task_type": task,
        "dataset_type": ids[0] if ids else "local",
        "dataset_name": public_name(report.dataset["name"], pinned=bool(ids)),
        "dataset_revision": report.dataset["revision"] if ids else None,
    }
    accuracy = report.utility["nonmember_accuracy"]
    results = [
        EvalResult(
            **dataset,
            dataset_split=HELD_OUT_SPLIT,
            metric_type="accuracy",
            metric_name="Accuracy on held-out examples",
            metric_value=round(accuracy["value"], 4),
            metric_args={"low": round(accuracy["low"], 4), "high": round(accuracy["high"], 4)},
        )
    ]
    robustness = report.robustness or {"accuracies": [], "membership_attacks": None}
    adversary = {} if report.robustness is None else {k: robustness[k] for k in ("norm", "epsilon", "n_steps")}
    results.extend(
        EvalResult(
            **dataset,
            dataset_split=HELD_OUT_SPLIT,
            metric_type=ROBUST_METRIC,
            metric_name=f"Robust accuracy ({entry['title']}, {norm_title(robustness['norm'])}, "
            f"ε = {epsilon_text(robustness)})",
            metric_value=round(entry["value"], 4),
            metric_args={
                "attack": entry["name"],
                **(adversary if entry["name"] == "pgd" else {k: adversary[k] for k in ("norm", "epsilon")}),
                "space": robustness["space"],
                "n_examples": entry["n_examples"],
                "low": round(entry["low"], 4),
                "high": round(entry["high"], 4),
            },
        )
        for entry in robustness["accuracies"]
        if entry["set"] == "nonmembers" and entry["name"] != "clean"
    )
    found = report.evidence["strongest"]
    for (inputs, attack), test in zip(all_attacks(vars(report)), report.evidence["attacks"], strict=True):
        more = {"inputs": inputs, **adversary} if inputs == ADVERSARIAL else {}
        if (attack["name"], inputs) == (found["attack"], found["inputs"]):
            more["strongest"] = True
        where = " on adversarial inputs" if inputs == ADVERSARIAL else ""
        results.extend(_attack_results(attack, test, dataset, where, more))
    return results


def _attack_results(
    attack: dict[str, Any], test: dict[str, Any], dataset: dict[str, Any], inputs: str, more: dict[str, Any]
) -> list[EvalResult]:
    """AUC and every resolved TPR of one membership attack, with p-values corrected for looking at all attacks."""
    shared = {"attack": attack["name"], "n_references": attack["n_references"], **more}
    interval = {"confidence": attack["confidence"]}
    split = {"dataset_split": "members and non-members"}
    results = [
        EvalResult(
            **dataset,
            **split,
            metric_type=AUC_METRIC,
            metric_name=f"{attack['title']}{inputs}: AUC",
            metric_value=round(attack["auc"], 4),
            metric_args={
                **shared,
                "low": round(attack["auc_low"], 4),
                "high": round(attack["auc_high"], 4),
                **interval,
                "corrected_p_value": _rounded(p_value_of(test, None)),
            },
        )
    ]
    results.extend(
        EvalResult(
            **dataset,
            **split,
            metric_type=TPR_METRIC,
            metric_name=f"{attack['title']}{inputs}: TPR at {100 * entry['fpr']:g} % FPR",
            metric_value=round(entry["tpr"], 4),
            metric_args={
                **shared,
                "fpr": entry["fpr"],
                "low": round(entry["low"], 4),
                "high": round(entry["high"], 4),
                **interval,
                "corrected_p_value": _rounded(p_value_of(test, entry["fpr"])),
            },
        )
        for entry in attack["tpr_at_fpr"]
        if entry["tpr"] is not None
    )
    return results


def _rounded(p_value: float | None) -> float | None:
    return None if p_value is None else float(f"{p_value:.2g}")
