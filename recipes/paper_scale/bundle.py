"""What a machine without network lacks, in one folder: wheels, and the rows of every stage.

    python recipes/paper_scale/bundle.py --out runs/bundle --data path/to/folder

and on that machine, which has PyTorch, transformers and the scientific stack:

    python -m pip install --no-index --no-deps --target runs/site runs/bundle/wheels/*.whl
    PYTHONPATH=.:runs/site python recipes/paper_scale/run.py --minutes 9 --out results --data runs/bundle/data
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from plan import local_files

# What machines made for training mostly lack of this package's needs; --packages names others.
PACKAGES = (
    "datasets", "dill", "evaluate", "jsonschema", "jsonschema-specifications", "multiprocess", "opacus", "referencing",
    "rpds-py", "cryptography", "cffi", "pycparser",
)  # fmt: skip
MIB = 2**20


def main() -> None:
    """Download, copy, and refuse what is too large to travel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder, made anew")
    parser.add_argument("--data", type=Path, required=True, help="a folder with cifar10/train.parquet and its like")
    parser.add_argument("--packages", nargs="*", default=PACKAGES, help="wheels to take along, without what they need")
    parser.add_argument("--python", default="3.12", help="of that machine (default: 3.12)")
    parser.add_argument("--platform", default="manylinux_2_28_x86_64", help="of that machine, as pip names it")
    parser.add_argument("--most", type=float, default=64.0, help="MiB that can travel (default: 64)")
    options = parser.parse_args()
    if options.out.exists():
        shutil.rmtree(options.out)
    wheels = options.out / "wheels"
    platforms = [options.platform, "manylinux2014_x86_64", "manylinux_2_17_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", options.python, *(word for name in platforms for word in ("--platform", name))]
    subprocess.run([*command, "--dest", str(wheels), *options.packages], check=True)
    for name in local_files():
        place = options.out / "data" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (options.data / name).is_dir() else shutil.copyfile
        copy(options.data / name, place)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file()) / MIB
    if size > options.most:
        raise SystemExit(
            f"{size:.1f} MiB in {options.out}: more than {options.most:g} do not travel; name fewer packages"
        )
    print(
        f"{len(list(wheels.iterdir()))} wheels and {len(local_files())} files of rows, {size:.1f} MiB in {options.out}"
    )


if __name__ == "__main__":
    main()
