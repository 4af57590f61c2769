"""The evaluate module as a web page: signals, features and membership in, leakage out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [3.1, 0.4, 2.2, -0.3],
        "references": [1, 0, 1, 0],
        "features": [[0.1], [0.2], [0.8], [0.9]],
        "calibration_hinge": [(7 * i % 24) / 24 for i in range(24)],
        "calibration_features": [[i / 24] for i in range(24)],
        "estimator": "linear",
        "fprs": [0.5],
    },
)

if __name__ == "__main__":
    space.build().launch()
