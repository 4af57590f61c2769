"""Tokens and keys are found in every byte, and random weights hold none."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from hf_privacy.errors import InputError
from hf_privacy.hub.contents import collect_contents
from hf_privacy.hub.secrets import SHAPES, SHORTEST, find_secret

LETTERS = "Ab3dEf6hIj9lMn0pQr2tUv5xYz8BcDe1gHi4kLm7oPq"
# Put together here, so that no file of the project looks like it held a key.
KEYS = {
    "hub": "hf_" + LETTERS[:34],
    "hub oauth": "hf_oauth_" + LETTERS[:30],
    "organisation": "api_org_" + LETTERS[:34],
    "aws": "AKIA" + "ABCDEFGH23456722",
    "github": "ghp_" + LETTERS[:36],
    "github fine-grained": "github_pat_" + LETTERS[:22] + "_" + LETTERS[:30],
    "gitlab": "glpat-" + LETTERS[:20],
    "anthropic": "sk-ant-api03-" + LETTERS,
    "openai": "sk-proj-" + LETTERS + "_" + LETTERS,
    "openai old": "sk-" + LETTERS[:20] + "T3BlbkFJ" + LETTERS[:20],
    "google": "AIza" + LETTERS[:35],
    "google oauth": "GOCSPX-" + LETTERS[:28],
    "slack": "xoxb-" + "1234567890-1234567890-" + LETTERS[:24],
    "slack webhook": "hooks.slack.com/services/T00000000/B00000000/" + LETTERS[:24],
    "npm": "npm_" + LETTERS[:36],
    "pypi": "pypi-AgEIcHlwaS5vcmc" + LETTERS * 2,
    "stripe": "sk_live_" + LETTERS[:24],
    "sendgrid": "SG." + LETTERS[:22] + "." + LETTERS[:43],
    "digitalocean": "dop_v1_" + "0123456789abcdef" * 4,
    "groq": "gsk_" + LETTERS + LETTERS[:9],
    "replicate": "r8_" + LETTERS[:37],
    "azure": "AccountKey=" + LETTERS * 2 + "==",
    "private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "pgp": "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + LETTERS,
}
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-16", "utf-32-le")


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_key_is_found_in_every_encoding_and_between_any_bytes(key, encoding):
    written = key.encode(encoding)
    for before, after in ((b"", b""), (b"\xff\xfe", b"\x00\x01"), (" x=".encode(encoding), " \n".encode(encoding))):
        assert find_secret(before + written + after), (before, after)


@pytest.mark.parametrize("key", [KEYS["hub"], KEYS["github"], KEYS["anthropic"]])
def test_the_length_that_a_tokenizer_model_writes_before_a_piece_hides_nothing(key):
    for length in range(256):
        assert find_secret(b"\n" + bytes([length]) + key.encode() + b"\x15\x00\x00\x00\x00"), length


@settings(max_examples=25, deadline=None)
@given(st.integers(-4400, 300), st.sampled_from(sorted(KEYS)), st.sampled_from(ENCODINGS), st.integers(0, 255))
def test_a_key_across_two_pieces_of_a_file_is_found(tmp_path_factory, offset, name, encoding, filler):
    file = tmp_path_factory.getbasetemp() / "pieces.bin"
    filler = filler if chr(filler) not in LETTERS + "+/=_-0123456789" and not chr(filler).isalnum() else 0x21
    start = ((1 << 22) + offset) & ~3
    key = KEYS[name].encode(encoding)
    file.write_bytes(bytes([filler]) * start + key + bytes([filler]) * 300)
    assert find_secret(file), (start, len(key))


@pytest.mark.parametrize(
    "text",
    [
        "from huggingface_hub import hf_hub_download, hf_privacy_trainer; hf_abcdefgh",
        "class sk-toggleable__content sk-estimator-doc-link fitted sk-parallel-item-label-arrow",
        "risk-assessment-of-many-long-words-with-dashes-in-a-row npm_config_registry_of_the_project",
        "-----BEGIN CERTIFICATE----- -----BEGIN PUBLIC KEY-----",
        "AKIA, AIza and eyJ alone; ghp_short; xoxb-1",
        "Weights SHA-256 " + "0123456789abcdef" * 4,
        "data:image/png;base64," + "iVBORw0KGgoAKIA234567ABCDEFGH2AIza" * 40,
    ],
)
def test_names_hashes_and_base64_are_no_keys(text):
    assert find_secret(text.encode()) is None
    assert find_secret(text.encode("utf-16")) is None


def test_the_token_in_use_is_found_whatever_its_shape():
    assert (
        find_secret("made with s3cr3t-välue".encode("utf-16-le"), secrets=("s3cr3t-välue".encode().decode(),)) is None
    )
    assert find_secret(b"made with s3cr3t-value", secrets=("s3cr3t-value",))
    assert find_secret("made with s3cr3t-value".encode("utf-16"), secrets=("s3cr3t-value",))
    assert find_secret(b"short", secrets=("short",)) is None


def chance(parsed) -> float:
    """An upper bound of the chance that a pattern matches at one position of random bytes: its shortest part does."""
    total = 1.0
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            total /= 256
        elif name == "IN":
            total *= sum(high - low + 1 if str(kind) == "RANGE" else 1 for kind, value in argument
                         for low, high in [value if str(kind) == "RANGE" else (0, 0)]) / 256  # fmt: skip
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, inner = argument
            # What may be left out altogether is counted as a sum over how often it is there.
            total *= chance(inner) ** least if least else sum(chance(inner) ** n for n in range(int(most) + 1))
        elif name == "BRANCH":
            total *= sum(chance(branch) for branch in argument[1])
        elif name == "SUBPATTERN":
            total *= chance(argument[3])
        else:
            assert name == "ASSERT_NOT", name
    return total


def test_a_gigabyte_of_random_bytes_holds_no_key_with_a_chance_of_a_million_to_one():
    parser = getattr(re, "_parser", None) or __import__("sre_parse")
    # Read twice: as they are, and without their zeros.
    expected = 2 * (1 << 30) * sum(chance(parser.parse(shape.pattern)) for shape in SHAPES)
    assert 0 < expected < 1e-6


def test_every_shape_starts_with_letters_and_is_longer_than_the_shortest_run_looked_at():
    parser = getattr(re, "_parser", None) or __import__("sre_parse")
    for shape in SHAPES:
        assert re.match(r"[A-Za-z0-9-]{1,}", shape.pattern), shape
        assert parser.parse(shape.pattern).getwidth()[0] >= SHORTEST, shape


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "int64", "int8", "bytes"])
def test_weights_of_every_kind_hold_no_key(kind, tmp_path):
    values = np.random.default_rng(0).normal(scale=0.02, size=1 << 20).astype("float32")
    raw = {
        "float32": lambda: values.tobytes(),
        "float16": lambda: values.astype("float16").tobytes(),
        "bfloat16": lambda: (values.view("uint32") >> 16).astype("uint16").tobytes(),
        "int64": lambda: np.arange(1 << 19).tobytes(),
        "int8": lambda: np.arange(1 << 22).astype("int8").tobytes(),
        "bytes": lambda: random.Random(0).randbytes(1 << 22),
    }[kind]()
    assert find_secret(raw) is None


# ---- in a folder ----


@pytest.mark.parametrize("name", ["tokenizer.model", "spiece.model", "LICENSE", "NOTICE", "chat_template.jinja"])
@pytest.mark.parametrize("key", ["hub", "github", "aws"])
def test_a_key_in_any_file_of_the_commit_is_refused_without_being_repeated(make_folder, name, key):
    folder = make_folder()
    (folder / name).write_bytes(b"\x0a\x2b\xff" + KEYS[key].encode("utf-16-le") + b"\x15")
    with pytest.raises(InputError, match=rf"{re.escape(name)} holds an? ") as caught:
        collect_contents(folder)
    assert KEYS[key] not in str(caught.value)


def test_a_key_in_the_weights_and_in_their_metadata_is_refused(make_folder):
    folder = make_folder()
    hidden = np.frombuffer(KEYS["gitlab"].encode() + b"..", "uint8").copy()
    save_file({"weight": np.zeros(2), "buffer": hidden}, folder / "model.safetensors")
    with pytest.raises(InputError, match="a token of GitLab"):
        collect_contents(folder)
    save_file({"weight": np.zeros(2)}, folder / "model.safetensors", metadata={"run": KEYS["anthropic"]})
    with pytest.raises(InputError, match="a key of Anthropic"):
        collect_contents(folder)


def test_a_key_behind_escapes_is_refused(make_folder):
    folder = make_folder()
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEYS["github"])
    (folder / "tokenizer.json").write_text(f'{{"note": "{escaped}"}}')
    with pytest.raises(InputError, match=r"tokenizer\.json holds a token of GitHub"):
        collect_contents(folder)


def test_a_machine_path_in_utf_16_is_refused(make_folder):
    folder = make_folder()
    (folder / "NOTICE").write_bytes("made in /home/ann/runs\n".encode("utf-16"))
    with pytest.raises(InputError, match="NOTICE holds the machine path"):
        collect_contents(folder)


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "model.safetensors", "config.json", "tokenizer.model"])
def test_a_link_is_refused_whatever_it_leads_to(make_folder, tmp_path, name):
    folder = make_folder()
    target = tmp_path / "elsewhere"
    target.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    with pytest.raises(InputError, match=rf"{re.escape(name)} in .* is a link"):
        collect_contents(folder)


def test_a_link_that_would_not_be_published_is_left_out(make_folder):
    folder = make_folder()
    (folder / "data").symlink_to(Path.cwd())
    assert any(name.startswith("data") for name in collect_contents(folder).left_out)


def test_the_bound_of_a_gigabyte_is_one_the_patterns_really_have():
    assert math.isclose(chance([("LITERAL", 1), ("LITERAL", 2)]), 2**-16)
