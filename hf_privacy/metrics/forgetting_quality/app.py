"""The evaluate module as a web page: outputs of both kinds of models in, forgetting quality and its null out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [
            [0.6, 2.8, 3.9, 3.7],
            [-2.1, -3.0, -1.3, -2.9],
            [0.9, -0.7, -1.3, -1.0],
            [0.9, 1.1, 1.0, 1.3],
            [-0.8, -0.4, -2.1, -2.0],
            [0.5, 1.0, 1.0, -1.1],
        ],
        "references": [
            [3.6, 1.0, 3.7, 0.5, 0.9, 1.6, 1.7, 1.1],
            [-2.1, -4.6, -1.7, -3.6, -1.5, -3.2, -4.2, -2.4],
            [0.8, -1.5, -1.3, -1.8, -2.3, -2.2, -2.7, -2.8],
            [0.8, 2.3, 1.2, 1.2, 0.9, -0.2, 0.9, 0.3],
            [-1.1, -0.8, -0.7, -1.6, -1.0, -2.7, -2.1, -2.2],
            [-1.0, -1.1, -1.0, -0.6, -2.0, 1.9, 0.1, -0.1],
        ],
    },
)

if __name__ == "__main__":
    space.build().launch()
