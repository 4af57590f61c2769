"""What the Space of an `evaluate` module holds beside it: a card, an app and requirements, each from one template."""

from __future__ import annotations

import pprint
from importlib import import_module
from pathlib import Path
from typing import Any

import evaluate

from hf_privacy.errors import InputError
from hf_privacy.metrics.checked_inputs import CheckedInputs
from hf_privacy.metrics.info import title_and_summary

_CARD = """\
---
title: {title}
emoji: 🔍
colorFrom: indigo
colorTo: gray
sdk: gradio
sdk_version: 5.49.1
app_file: app.py
pinned: false
license: apache-2.0
tags:
- evaluate
- metric
- privacy
- {topic}
description: >-
  {summary}
---

# {title}

{description}

## How to use

```python
import hf_privacy

metric = hf_privacy.load_metric("{name}")
metric.compute(
{arguments}
)
```

From a Space its code runs on your machine, so pin the commit:
`evaluate.load("OWNER/{name}", module_type="metric", revision="<commit>")`. Where that commit cannot be fetched,
`evaluate` runs the version it cached last, without a word.

{inputs_description}

## Citation

```bibtex
{citation}
```
"""

_APP = '''\
"""The evaluate module as a web page: the arguments of `compute()` in, its result out."""

from hf_privacy.metrics.space import Space

space = Space(
    __file__,
    example={{
{arguments}
    }},
)

if __name__ == "__main__":
    space.build().launch()
'''

_REQUIREMENTS = """\
hf-privacy>={version}
evaluate>=0.4.6
datasets>=4.0
gradio>=5.0
"""


def space_files(folder: Path) -> dict[str, bytes]:
    """The files of a module's Space by name: those of its folder, and beside them what is rendered from the module.

    The module is loaded for it, where something is to be rendered: a file of the folder stands for it. Caches are no
    part of a Space.

    Parameters
    ----------
    folder : path
        A module's folder, such as `hf_privacy.metrics.metric_folder` gives.

    Raises
    ------
    InputError
        As `hf_privacy.metrics.info.title_and_summary`; also for a module of another kind, without an example.

    Examples
    --------
    >>> files = space_files(Path(__file__).parent / "lira")
    >>> list(files)
    ['README.md', 'app.py', 'lira.py', 'requirements.txt']
    >>> files["README.md"].decode().splitlines()[1]
    'title: LiRA'
    """
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    own = {file.name: file.read_bytes() for file in sorted(files)}
    if {"README.md", "app.py", "requirements.txt"} <= own.keys():
        return own
    title, summary = title_and_summary(folder)
    module: Any = evaluate.load(str(folder), keep_in_memory=True)
    if not isinstance(module, CheckedInputs) or not hasattr(module, "example"):
        raise InputError(
            f"the module {folder.name} has no example to show: make its class of hf_privacy.metrics.CheckedInputs and "
            "give it one, or put README.md, app.py and requirements.txt beside it"
        )
    texts = vars(module.info) | {"name": folder.name, "title": title, "summary": summary, "topic": module.topic}
    rendered = {
        "README.md": _CARD.format(**texts, arguments=_arguments(module.example, "    {}=")).encode(),
        "app.py": _APP.format(arguments=_arguments(module.example, '        "{}": ')).encode(),
        "requirements.txt": _REQUIREMENTS.format(version=import_module("hf_privacy").__version__).encode(),
    }
    return dict(sorted((rendered | own).items()))


def _arguments(example: dict[str, Any], start: str) -> str:
    """One argument a line, and more where its value is long."""
    lines = []
    for name, value in example.items():
        before = start.format(name)
        literal = pprint.pformat(value, width=118 - len(before), compact=True)
        lines.append(before + literal.replace("\n", "\n" + " " * len(before)) + ",")
    return "\n".join(lines)
