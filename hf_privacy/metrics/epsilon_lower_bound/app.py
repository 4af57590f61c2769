"""The evaluate module as a web page: scores and membership in, a lower bound of epsilon out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6],
        "references": [1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        "method": "one_run",
        "n_guesses": 12,
        "delta": 1e-5,
    },
)

if __name__ == "__main__":
    space.build().launch()
