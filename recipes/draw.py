"""Draw every plot of the recipes again from its committed result; nothing is trained.

python recipes/draw.py              all of them
python recipes/draw.py NAME ...     those whose path holds one of the names
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / folder) for folder in ("memorization", "unlearning", "benchmarks/attacks")]

from language_page import write_language_page  # noqa: E402
from page import write_page  # noqa: E402
from plot import budgets_of  # noqa: E402
from tofu_plot import tofu_figure  # noqa: E402

from hf_privacy.atomic_file import write_atomically  # noqa: E402
from hf_privacy.comparison import comparison_figure  # noqa: E402
from hf_privacy.comparison.plot import robust_attack  # noqa: E402
from hf_privacy.reports.link_plots import write_figure  # noqa: E402
from hf_privacy.reports.sections.budgets import budgets_figure  # noqa: E402


def _read(path: str) -> dict[str, Any]:
    return json.loads((HERE / path).read_text(encoding="utf-8"))


def _compared(result: str) -> Callable[[], Any]:
    return lambda: comparison_figure(_read(result))


def _robust() -> Any:
    table = _read("defenses/robust/fashion_mnist_result.json")
    return comparison_figure(table, across=robust_attack(table))


# By the file that is drawn.
FIGURES: dict[str, Callable[[], Any]] = {
    "benchmarks/attacks/fashion_mnist.png": lambda: budgets_figure(budgets_of("Fashion-MNIST")),
    "benchmarks/attacks/location30.png": lambda: budgets_figure(budgets_of("location30")),
    "causal_lm/defenses/tofu.png": _compared("causal_lm/defenses/tofu_result.json"),
    "defenses/cifar10_small.png": _compared("defenses/cifar10_small_result.json"),
    "defenses/focal_loss.png": _compared("defenses/focal_loss_result.json"),
    "defenses/location30.png": _compared("defenses/location30_result.json"),
    "defenses/robust/fashion_mnist.png": _compared("defenses/robust/fashion_mnist_result.json"),
    "defenses/robust/fashion_mnist_robust.png": _robust,
    "unlearning/tofu.png": lambda: tofu_figure(_read("unlearning/tofu_result.json")),
}
# Folders whose page makes tables and plots together; of its plots those are kept that are there already.
PAGES: dict[str, Callable[[dict[str, Any], Path], str]] = {
    "memorization/fashion_mnist": write_page,
    "memorization/location30": write_page,
    "memorization/tofu": write_language_page,
}


def main(names: list[str]) -> None:
    """Draw what the names ask for."""

    def asked(path: str) -> bool:
        return not names or any(name in path for name in names)

    for path in filter(asked, FIGURES):
        write_figure(HERE / path, FIGURES[path]())
        print(f"drawn: {path}")
    for path in filter(asked, PAGES):
        with tempfile.TemporaryDirectory() as made:
            PAGES[path](_read(f"{path}/result.json"), Path(made))
            for plot in (HERE / path).glob("*.png"):
                write_atomically(plot, (Path(made) / plot.name).read_bytes())
                print(f"drawn: {path}/{plot.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
