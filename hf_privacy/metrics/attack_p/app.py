"""The evaluate module as a web page: losses and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [0.1, 0.9, 0.2, 2.1],
        "references": [1, 0, 1, 0],
        "population_loss": [0.3, 0.8, 1.2, 2.5],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
