"""Near-duplicates: answers to like prompts that say nearly the same share their votes, so that there is something to
agree about although each has one reader.

MinHash (Broder 1997) of character shingles, banded so that only likely pairs are compared. The prompt and the answer
must both be alike: the same answer to another question may be wrong.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.trust.evidence import Ints

SHINGLE = 5
HASHES = 64
BAND = 4
"""Hashes in a band: two texts of similarity s share one of the 16 bands with probability 1 - (1 - s^4)^16, 0.9998 at
s = 0.8."""
_PRIME = np.uint64((1 << 31) - 1)
_GENERATOR = np.random.default_rng(20_250_514)
_A = _GENERATOR.integers(1, int(_PRIME), HASHES, dtype=np.uint64)
_B = _GENERATOR.integers(0, int(_PRIME), HASHES, dtype=np.uint64)

Signature = NDArray[np.uint64]


def signature(text: str) -> Signature:
    """(HASHES,) smallest hash of the shingles under each hash function. Case and spacing do not count."""
    plain = " ".join(text.lower().split())
    shingles = {plain[i : i + SHINGLE] for i in range(max(len(plain) - SHINGLE + 1, 1))}
    codes = np.fromiter((zlib.crc32(s.encode()) for s in sorted(shingles)), np.uint64) % _PRIME
    return np.asarray(((codes[:, None] * _A + _B) % _PRIME).min(axis=0))


def similarity(one: Signature, other: Signature) -> float:
    """Estimated Jaccard similarity of the shingles; standard error at most 0.0625."""
    return float((one == other).mean())


def group_duplicates(prompts: Sequence[str], answers: Sequence[str], threshold: float) -> Ints:
    """(n,) the group of each answer, numbered by first appearance. An answer joins the first earlier group whose first
    answer it resembles, in prompt and in answer, by `threshold` or more; texts that are empty stay alone."""
    group = np.zeros(len(answers), np.int64)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    leaders: list[tuple[Signature, Signature]] = []
    seen: dict[str, Signature] = {}
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if prompt not in seen:
            seen[prompt] = signature(prompt)
        signed = (seen[prompt], signature(answer))
        bands = [(k, signed[1][k : k + BAND].tobytes()) for k in range(0, HASHES, BAND)] if prompt and answer else []
        near = sorted({g for band in bands for g in buckets.get(band, ())})
        alike = (g for g in near if all(similarity(a, b) >= threshold for a, b in zip(leaders[g], signed, strict=True)))
        found = next(alike, None)
        if found is None:
            found = len(leaders)
            leaders.append(signed)
            for band in bands:
                buckets.setdefault(band, []).append(found)
        group[i] = found
    return group
