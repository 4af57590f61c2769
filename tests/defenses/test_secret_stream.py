"""The cipher behind the noise: every bit of the key counts, the numbers are what they are called, nothing is kept."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from hf_privacy.defenses.dp.secret_stream import KEY_BYTES, SecretStream, drawn_together
from hf_privacy.errors import InputError

KEY = bytes(range(KEY_BYTES))


@pytest.mark.parametrize("draw", [lambda stream: stream.uniform(4), lambda stream: stream.normal((2, 2))])
def test_flipping_any_bit_of_the_key_gives_other_numbers(draw):
    seen = {tuple(draw(SecretStream(KEY)).flatten().tolist())}
    for bit in range(8 * KEY_BYTES):
        flipped = (int.from_bytes(KEY, "big") ^ (1 << bit)).to_bytes(KEY_BYTES, "big")
        seen.add(tuple(draw(SecretStream(flipped)).flatten().tolist()))
    assert len(seen) == 1 + 8 * KEY_BYTES


def test_one_key_is_one_stream_and_no_key_a_new_one():
    first, again, other = SecretStream(KEY), SecretStream(KEY), SecretStream()
    assert torch.equal(first.normal((5,)), again.normal((5,)))
    assert not torch.equal(first.normal((5,)), again.normal((1,)).expand(5))
    assert not torch.equal(first.normal((5,)), other.normal((5,)))


def test_it_is_aes_in_counter_mode():
    """The block cipher itself, on the counters from 0 up, is the oracle."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    blocks = b"".join(cipher.update(counter.to_bytes(16, "big")) for counter in range(4))
    words = np.frombuffer(blocks, dtype=np.uint64)
    expected = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    np.testing.assert_array_equal(SecretStream(KEY).uniform(8).numpy(), expected)


def test_a_pair_of_gaussian_numbers_is_made_of_96_bits_by_box_and_muller():
    """In NumPy: 53 bits of a radius, then 32 of an angle."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    content = Cipher(algorithms.AES(KEY), modes.CTR(bytes(16))).encryptor().update(bytes(12 * 500))
    uniform = (np.frombuffer(content[: 8 * 500], dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2 * np.log1p(-uniform))
    angle = np.frombuffer(content[8 * 500 :], dtype=np.int32) * (np.pi / 2**31)
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:999]
    np.testing.assert_allclose(SecretStream(KEY).normal((999,)).numpy(), expected, rtol=0, atol=2e-5)


def test_uniform_numbers_are_uniform_and_independent():
    values = SecretStream(KEY).uniform(200_000).numpy()
    assert 0 <= values.min() < 1e-4
    assert 1 - 1e-4 < values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_normal_numbers_are_normal_and_independent_over_the_chunks_too():
    values = SecretStream(KEY).normal((400_001,)).double().numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert stats.kurtosis(values) == pytest.approx(0, abs=0.04)
    for lag in (1, 2, 1 << 14, 1 << 15):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 0.01, lag
        assert abs(np.corrcoef(values[:-lag] ** 2, values[lag:] ** 2)[0, 1]) < 0.01, lag


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 3), ((1 << 15) + 1,)], ids=str)
def test_every_shape_is_filled(shape):
    values = SecretStream().normal(shape)
    assert values.shape == shape
    assert values.isfinite().all()


def test_a_scale_is_the_deviation():
    plain, wide = SecretStream(KEY).normal((70_001,)), SecretStream(KEY).normal((70_001,), scale=3e-4)
    torch.testing.assert_close(wide, 3e-4 * plain, rtol=1e-6, atol=0)
    assert not SecretStream(KEY).normal((3,), scale=0.0).any()


def test_what_is_drawn_together_is_one_stream_in_parts():
    shapes = [(3,), (1 << 20, 2), (2, 5), (), (0,), (7,), (1 << 20,)]
    parts = list(drawn_together(SecretStream(KEY), [torch.zeros(shape) for shape in shapes], scale=2.0))
    assert [part.shape for part in parts] == [torch.Size(shape) for shape in shapes]
    stream = SecretStream(KEY)
    draws = [3, 2 << 20, 10 + 1 + 7, 1 << 20]  # small neighbours together, never more than a large one takes
    expected = torch.cat([stream.normal((size,), scale=2.0) for size in draws])
    assert torch.equal(torch.cat([part.flatten() for part in parts]), expected)
    assert list(drawn_together(SecretStream(KEY), [])) == []


def test_numbers_have_no_end_at_the_end_of_a_chunk():
    """However a stream is asked, the same key gives what an uninterrupted draw of those sizes gives."""
    first, second = SecretStream(KEY), SecretStream(KEY)
    first.uniform(3)
    second.uniform(1), second.uniform(2)
    assert torch.equal(first.uniform(2), second.uniform(2))


def test_a_stream_cannot_be_saved_copied_or_shown():
    stream = SecretStream(KEY)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(InputError, match="not saved or copied"):
            copied(stream)
    assert KEY.hex() not in repr(vars(stream))
    assert str(list(KEY)) not in repr(vars(stream))


@pytest.mark.parametrize(
    "key", [b"", bytes(16), "a" * 32, bytes(33), 7], ids=["none", "short", "text", "long", "number"]
)
def test_a_key_of_another_size_is_refused(key):
    with pytest.raises(InputError, match="key is no 32 bytes"):
        SecretStream(key)
