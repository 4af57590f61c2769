"""The evaluate module as a web page: right and wrong answers and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [1, 1, 1, 0],
        "references": [1, 0, 1, 0],
        "augmented_correct": [[1, 0, 1, 0], [1, 1, 1, 1]],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
