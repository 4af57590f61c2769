"""TOFU with its authors: the published rows have no such column, though each author's 20 stand one after another.

Run: python recipes/causal_lm/authors.py                     # --data path/to/full.parquet for a local copy
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hf_privacy.data import load_dataset_from

ROWS_OF_AN_AUTHOR = 20


def main() -> None:
    """Write the rows with the number of their author."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="locuslab/TOFU", help="Hub id, or a local copy of its split full")
    parser.add_argument("--output", type=Path, default=Path("runs/tofu_authors.parquet"))
    options = parser.parse_args()
    rows = load_dataset_from(options.data, split="train", name=None if Path(options.data).exists() else "full")
    if len(rows) % ROWS_OF_AN_AUTHOR:
        raise SystemExit(
            f"{options.data} has {len(rows):,} rows: pass the whole of TOFU, {ROWS_OF_AN_AUTHOR} an author"
        )
    rows = rows.add_column("author", [number // ROWS_OF_AN_AUTHOR for number in range(len(rows))])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(options.output)
    print(f"{len(rows):,} rows of {len(rows) // ROWS_OF_AN_AUTHOR} authors in {options.output}")


if __name__ == "__main__":
    main()
