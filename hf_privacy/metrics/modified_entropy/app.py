"""The evaluate module as a web page: modified entropies and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [0.1, 0.9, 1.2, 2.1],
        "references": [1, 0, 1, 0],
        "labels": [0, 0, 1, 1],
        "thresholds": [-0.5, -1.5],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
