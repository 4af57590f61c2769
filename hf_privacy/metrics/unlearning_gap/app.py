"""The evaluate module as a web page: right answers and sets in, AvgGap and its null out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [[0, 0], [1, 1], [1, 1], [1, 1], [1, 0], [0, 1]],
        "references": [0, 0, 1, 1, 2, 2],
        "retrained_correct": [[0, 0, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]],
        "scores": [[0.4, 0.3], [0.9, 0.6], [0.9, 0.9], [0.8, 0.9], [0.6, 0.4], [0.2, 0.7]],
        "retrained_scores": [
            [0.4, 0.3, 0.6],
            [0.7, 0.4, 0.6],
            [0.9, 0.9, 0.8],
            [0.8, 0.9, 0.9],
            [0.6, 0.4, 0.7],
            [0.2, 0.7, 0.6],
        ],
    },
)

if __name__ == "__main__":
    space.build().launch()
