"""The evaluate module as a web page: signals and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [[2.1, 0.1], [0.2, 0.9], [1.8, 0.3], [0.4, 1.1]],
        "references": [1, 0, 1, 0],
        "reference_signals": [
            [[1.9, 0.2], [0.3, 1.0], [2.2, 0.1], [0.1, 0.8]],
            [[0.2, 0.9], [2.0, 0.3], [0.5, 1.2], [1.7, 0.2]],
        ],
        "reference_membership": [[1, 0, 1, 0], [0, 1, 0, 1]],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
