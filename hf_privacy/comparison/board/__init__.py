"""A board: the rows of any number of result files on one page, and the same as a static Space.

Reading and drawing it is light: no torch, no model.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {"page": ("board_page",), "results": ("board_rows",), "space": ("board_space_files", "push_board")},
)
