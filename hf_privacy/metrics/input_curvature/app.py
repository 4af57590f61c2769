"""The evaluate module as a web page: log curvatures and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [-3.0, -0.5, -2.0, -0.2],
        "references": [1, 0, 1, 0],
        "reference_log_curvature": [
            [-2.0, 0.0, -2.2, -1.1],
            [-4.0, -1.0, -3.0, -0.4],
            [0.0, -3.0, -0.1, -2.5],
            [-1.0, -5.0, -0.5, -1.9],
        ],
        "reference_membership": [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]],
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
