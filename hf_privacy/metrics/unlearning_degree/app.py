"""The evaluate module as a web page: 0/1 after and before in, the degree and its ceiling out."""

from __future__ import annotations

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={
        "predictions": [1, 0, 0, 1, 0, 1],
        "references": [1, 1, 1, 1, 1, 0],
        "retrained": [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]],
    },
)

if __name__ == "__main__":
    space.build().launch()
