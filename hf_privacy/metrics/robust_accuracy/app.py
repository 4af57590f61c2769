"""The evaluate module as a web page: predictions under attack and labels in, robust accuracy out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [0, 1, 2, 0, 0, 2],
        "references": [0, 1, 2, 1, 2, 2],
        "clean_predictions": [0, 1, 2, 1, 2, 0],
    },
)

if __name__ == "__main__":
    space.build().launch()
