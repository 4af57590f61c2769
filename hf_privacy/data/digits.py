"""The embedded default: 1,797 real handwritten digits that need no network."""

from __future__ import annotations

import io

import numpy as np
from datasets import ClassLabel, Dataset, DatasetInfo, Features, Image
from PIL import Image as PillowImage

_CITATION = """@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}"""


def load_digits_dataset() -> Dataset:
    """scikit-learn's copy of the test part of "Optical Recognition of Handwritten Digits" as an image dataset.

    1,797 rows in scikit-learn's order; `image` is an 8 × 8 grey picture (the original 0..16 scaled to 0..255), `label`
    a ClassLabel with the names "0" to "9". Every call gives the same rows.

    Source: E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> digits = load_digits_dataset()
    >>> len(digits), digits[0]["image"].size, digits.features["label"].int2str(digits[0]["label"])
    (1797, (8, 8), '0')
    """
    from sklearn.datasets import load_digits  # only here: scikit-learn takes a while

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    features = Features({"image": Image(), "label": ClassLabel(names=[str(digit) for digit in range(10)])})
    info = DatasetInfo(
        description="1,797 handwritten digits, 8 × 8 grey: the test part of Optical Recognition of Handwritten "
        "Digits as scikit-learn ships it, scaled to 0..255.",
        citation=_CITATION,
        homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        license="CC BY 4.0",
        features=features,
        dataset_name="digits",
    )
    rows = {
        "image": [{"bytes": _png(image), "path": None} for image in pixels],
        "label": [int(label) for label in bunch.target],
    }
    return Dataset.from_dict(rows, features=features, info=info)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
