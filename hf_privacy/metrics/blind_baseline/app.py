"""The evaluate module as a web page: inputs and membership in, their difference out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [[i] for i in range(60)],
        "references": [0] * 30 + [1] * 30,
        "n_folds": 2,
        "fprs": [0.1],
    },
)

if __name__ == "__main__":
    space.build().launch()
