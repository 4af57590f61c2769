"""Every reader of YAML refuses what would grow without end, at once, and reads the rest as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy.yaml_text import MOST_VALUES, load_yaml

ROOT = Path(__file__).resolve().parents[1]


def laughs(levels: int, width: int = 9) -> str:
    """The billion laughs: each line stands for ``width`` times what the line before does."""
    lines = ["l0: &l0 [lol]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merges(levels: int) -> str:
    """The same by merge keys, which PyYAML multiplies while it reads."""
    lines = ["m0: &m0 {a: 1}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "laughs": laughs(12),
    "merges": merges(12),
    "itself": "a: &a [*a]",
    "itself by a key": "&a {? *a : 1}",
    "deep": "[" * 100_000,
    "deep mappings": "{a: " * 100_000,
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_what_would_grow_without_end_is_refused(bomb):
    with pytest.raises(yaml.YAMLError):
        load_yaml(BOMBS[bomb])


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_every_reader_says_so_in_one_sentence(bomb, tmp_path):
    from hf_privacy.errors import InputError
    from hf_privacy.recipe.config import read_yaml, set_dotted

    (tmp_path / "recipe.yaml").write_text(BOMBS[bomb])
    with pytest.raises(InputError, match=r"config recipe\.yaml is no valid YAML"):
        read_yaml(tmp_path / "recipe.yaml")
    with pytest.raises(InputError, match="which is no valid YAML") as refusal:
        set_dotted({}, "training.seed", BOMBS[bomb])
    assert len(str(refusal.value)) < 1_000


def test_a_card_that_would_grow_without_end_is_refused(tmp_path):
    from hf_privacy.errors import InputError
    from hf_privacy.reports import CardData, write_card

    (tmp_path / "README.md").write_text(f"---\n{BOMBS['laughs']}\n---\n# Mine\n")
    with pytest.raises(InputError, match=r"metadata block of README\.md cannot be read"):
        write_card(tmp_path, None, CardData())


def test_no_other_reader_of_yaml_is_in_the_package():
    for file in (ROOT / "hf_privacy").rglob("*.py"):
        if file.name != "yaml_text.py":
            text = file.read_text(encoding="utf-8")
            assert "yaml.safe_load" not in text, file
            assert "yaml.load(" not in text, file


def test_what_is_long_is_no_bomb():
    written_out = [1] * (MOST_VALUES + 1)
    assert load_yaml(str(written_out)) == written_out
    assert len(load_yaml(f"a: &a {{b: 1}}\nc: [{', '.join(['*a'] * 3_000)}]")["c"]) == 3_000
    assert load_yaml("") is None


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
@settings(max_examples=80, deadline=None)
def test_everything_else_is_read_as_before(value):
    text = yaml.safe_dump([value, value], allow_unicode=True)  # aliases for what stands there twice
    assert load_yaml(text) == yaml.safe_load(text)


@given(st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_text_is_read_as_before_or_refused_as_no_yaml(text):
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            load_yaml(text)
    except Exception:  # PyYAML itself fails on some dates and numbers
        return
    else:
        assert repr(load_yaml(text)) == repr(expected)
