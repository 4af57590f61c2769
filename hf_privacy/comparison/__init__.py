"""Defences side by side: the same recipe, seeds and attacks, one table and one plot of privacy against utility.

Reading a comparison is light: torch and transformers are imported when one is run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_privacy.comparison.plan import Cell, Comparison, Entry

_MODULE_OF = {
    "check_comparison": "check",
    "comparison_figure": "plot",
    "comparison_markdown": "markdown",
    "comparison_table": "table",
    "write_comparison": "files",
    "work": "run",
}

__all__ = [
    "Cell",
    "Comparison",
    "Entry",
    "check_comparison",
    "comparison_figure",
    "comparison_markdown",
    "comparison_table",
    "work",
    "write_comparison",
]

if TYPE_CHECKING:
    from hf_privacy.comparison.check import check_comparison
    from hf_privacy.comparison.files import write_comparison
    from hf_privacy.comparison.markdown import comparison_markdown
    from hf_privacy.comparison.plot import comparison_figure
    from hf_privacy.comparison.run import work
    from hf_privacy.comparison.table import comparison_table


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hf_privacy.comparison' has no attribute {name!r}")
    return getattr(import_module(f"hf_privacy.comparison.{_MODULE_OF[name]}"), name)
