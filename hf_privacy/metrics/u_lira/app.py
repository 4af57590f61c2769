"""The evaluate module as a web page: signals of both kinds of models in, how well they are told apart out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [
            [4.1, 3.1, 2.6, 4.1],
            [0.2, -1.4, -1.1, 0.8],
            [0.0, 0.1, 3.0, -0.9],
            [3.5, 0.7, 2.1, 4.2],
            [1.2, -0.9, -0.5, 0.1],
            [0.6, 2.5, 4.1, 0.5],
        ],
        "references": [
            [-0.1, 2.2, 1.8, 3.7],
            [-3.0, -2.9, -3.0, -3.8],
            [-0.7, -2.7, -0.2, -1.4],
            [1.2, 0.1, -0.2, 2.5],
            [-1.5, -0.8, -1.8, 0.6],
            [0.3, -1.1, 0.7, 0.3],
        ],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
