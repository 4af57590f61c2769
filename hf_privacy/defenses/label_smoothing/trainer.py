"""Label smoothing as a baseline among the defences."""

from __future__ import annotations

from typing import Any, ClassVar

from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.label_smoothing.config import LabelSmoothingConfig


class LabelSmoothingTrainer(PrivacyTrainer):
    """`PrivacyTrainer` on the cross-entropy with labels (1 − s)·one-hot + s/C, C the classes or the vocabulary.

    A baseline: it was not made against membership inference. The loss is `PrivacyTrainer`'s own; what this class adds
    is the name under which it is compared. It is a mean over examples, of a language model over tokens unless its
    arguments say otherwise: accumulation and processes leave the step as it is.

    Parameters
    ----------
    args : LabelSmoothingConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Szegedy et al. (2016), "Rethinking the inception architecture for computer vision", CVPR, arXiv 1512.00567,
    section 7.

    Examples
    --------
    >>> from hf_privacy.defenses import LabelSmoothingTrainer
    >>> LabelSmoothingTrainer.paper_defaults
    {'label_smoothing_factor': 0.1}
    """

    config_class: ClassVar[type[PrivacyConfig]] = LabelSmoothingConfig
    defense_name: ClassVar[str] = "label_smoothing"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Rethinking the Inception Architecture for Computer Vision",
        "id": "arXiv:1512.00567",
        "citation": "Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens and Zbigniew Wojna. "
        "Rethinking the Inception Architecture for Computer Vision. CVPR 2016.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"label_smoothing_factor": 0.1}
    search_space: ClassVar[dict[str, list[Any]]] = {"label_smoothing_factor": [0.03, 0.1, 0.2, 0.4, 0.6, 0.8]}

    args: LabelSmoothingConfig
