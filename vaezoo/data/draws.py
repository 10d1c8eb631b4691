"""Random bits addressed by (key, example, value), so that no draw depends on order, batch size or rank."""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def stream(*parts: int | str) -> np.uint64:
    """A 64-bit key, a pure function of ``parts``."""
    return np.uint64(int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little"))


def bits(key: np.uint64, index: np.ndarray, size: int, dtype: str) -> np.ndarray:
    """Uniform unsigned integers, the same for the same key and example whatever else is in the batch.

    Args:
        key: which stream of bits.
        index: which examples, ``[B]``.
        size: values per example, D.
        dtype: unsigned integer type of the result.

    Returns:
        ``[B, D]``, uniform over the whole range of ``dtype``.

    Source: SplitMix64 at counter ``index * words + word``; Steele, Lea and Flood, OOPSLA 2014, figure 13.
    """
    words = -(-size * np.dtype(dtype).itemsize // 8)
    first = index.astype(np.uint64) * np.uint64(words) * _GOLDEN + key
    state = first[:, None] + np.arange(1, words + 1, dtype=np.uint64) * _GOLDEN  # [B, words]
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return np.ascontiguousarray(state.view(dtype)[:, :size])


def thresholds(key: np.uint64, index: np.ndarray, size: int) -> np.ndarray:
    """Bytes r uniform over 0..254 (to 2^-64), so that ``P(k > r) = k / 255`` for k in 0..255.

    A byte of 255 is refused and replaced by a 64-bit word modulo 255.

    Returns:
        ``[B, D]`` uint8.
    """
    drawn = bits(key, index, size, "uint8")
    flat = drawn.reshape(-1)
    refused = np.flatnonzero(flat == 255)
    address = index[refused // size] * size + refused % size
    flat[refused] = bits(stream(int(key), "refused"), address, 1, "uint64")[:, 0] % np.uint64(255)
    return drawn
