"""The evaluate module as a web page: losses and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [0.1, 0.9, 0.2, 2.1],
        "references": [1, 0, 1, 0],
        "reference_losses": [[0.2, 1.1, 0.1, 1.9], [0.8, 0.3, 0.9, 0.6], [0.1, 1.4, 0.2, 2.4], [0.6, 0.2, 0.5, 1.1]],
        "reference_membership": [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
