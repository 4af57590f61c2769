"""Defences side by side: the same recipe, seeds and attacks, one table and one plot of privacy against utility.

Reading a comparison is light: torch and transformers are imported when one is run.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "check": ("check_comparison",),
        "files": ("write_comparison",),
        "markdown": ("comparison_markdown",),
        "plan": ("Cell", "Comparison", "Entry"),
        "plot": ("comparison_figure",),
        "run": ("work",),
        "table": ("comparison_table",),
    },
)
