"""What the Space of an `evaluate` module holds beside it: a card, an app and requirements, each from one template."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

from hf_privacy.errors import InputError
from hf_privacy.metrics.checked_inputs import CheckedInputs
from hf_privacy.metrics.info import info_texts, module_source, title_and_summary

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
    example={example},
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

    The module is read for it, not run. A file of the folder stands for the one that would be rendered; caches are no
    part of a Space.

    Parameters
    ----------
    folder : path
        A module's folder, such as `hf_privacy.metrics.metric_folder` gives.

    Raises
    ------
    InputError
        As `hf_privacy.metrics.info.title_and_summary`; also for a module whose class has no example.

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
    source = module_source(folder)
    tree = ast.parse(source)
    given = {
        line.targets[0].id: line.value
        for kind in tree.body
        if isinstance(kind, ast.ClassDef)
        for line in kind.body
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
    }
    example = given.get("example")
    if not isinstance(example, ast.Dict):
        raise InputError(
            f"the module {folder.name} has no example to show: give its class one (example = {{...}}), or put "
            "README.md, app.py and requirements.txt beside it"
        )
    topic = ast.literal_eval(given["topic"]) if "topic" in given else CheckedInputs.topic
    # As they are written: a list by a comprehension stays one. In the card they stand one level further out.
    arguments = [
        f"    {ast.literal_eval(name)}={ast.get_source_segment(source, value)},".replace("\n    ", "\n")
        for name, value in zip(example.keys, example.values, strict=True)
    ]
    texts = info_texts(ast.get_docstring(tree)) | {"name": folder.name, "title": title, "summary": summary}
    rendered = {
        "README.md": _CARD.format(**texts, topic=topic, arguments="\n".join(arguments)).encode(),
        "app.py": _APP.format(example=ast.get_source_segment(source, example)).encode(),
        "requirements.txt": _REQUIREMENTS.format(version=import_module("hf_privacy").__version__).encode(),
    }
    return dict(sorted((rendered | own).items()))
