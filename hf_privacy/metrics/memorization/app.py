"""The evaluate module as a web page: correctness and membership in, memorization out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [1, 0, 1, 1],
        "references": [1, 0, 1, 0],
        "reference_correct": [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]],
        "reference_membership": [[1, 1, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
        "edges": [0.25, 0.75],
    },
)

if __name__ == "__main__":
    space.build().launch()
