"""The evaluate module as a web page: scores and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [2.1, 1.7, 0.4, 0.9, -0.3, -1.2],
        "references": [1, 1, 1, 0, 0, 0],
        "fprs": [0.34],
    },
)

if __name__ == "__main__":
    space.build().launch()
