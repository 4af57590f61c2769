"""The evaluate module as a web page: probabilities and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [0.9, 0.3, 0.8, 0.4],
        "references": [1, 0, 1, 0],
        "reference_probs": [[0.9, 0.2, 0.8, 0.3], [0.3, 0.8, 0.4, 0.9]],
        "reference_membership": [[1, 0, 1, 0], [0, 1, 0, 1]],
        "population_prob": [0.4, 0.6, 0.5],
        "population_reference_probs": [[0.5, 0.4, 0.6], [0.3, 0.6, 0.5]],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
