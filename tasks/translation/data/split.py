"""Which pairs of a corpus are held out, so that none of them is nearly the same as one that networks learn from.

Near-duplicates are pairs whose source sentences differ in at most one word that is added, left out or replaced (from
four words on; shorter ones must be the same), or whose translations are the same; case, punctuation and the value of
numbers do not count. Near-duplicates of near-duplicates belong together too. Such a cluster goes to one part as a
whole. Which one follows from a hash of its text: not from the order of the corpus, a seed, or what else is in it.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from shiftaddnas.errors import UserError
from tasks.translation.data.text import Pair

MIN_WORDS = 4
MAX_CLUSTER = 8
"""Clusters of more pairs are learnt from: a held-out part should not be variations of one sentence."""


def split(pairs: Sequence[Pair], val_share: float, test_share: float) -> Iterator[tuple[str, Pair]]:
    """The pairs in their order, each with its part: "train", "valid" or "test". Shares are kept on average.

    Raises:
        UserError: a part with a share, or the training part, would be empty.
    """
    cluster_N = clusters(pairs)
    size_K = np.bincount(cluster_N)
    hash_N = np.array([_hash(f"{one}\t{other}") for one, other in pairs], dtype=np.uint64)
    least_K = np.full(len(size_K), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(least_K, cluster_N, hash_N)
    # Spread again: the least of many hashes is small.
    chance_K = np.array([_hash(str(least)) for least in least_K], dtype=np.float64) / 2.0**64
    chance_K[size_K > MAX_CLUSTER] = 1.0
    chance_N = chance_K[cluster_N]
    part_N = np.where(chance_N < test_share, "test", np.where(chance_N < test_share + val_share, "valid", "train"))
    for name, share in (("train", 1.0), ("valid", val_share), ("test", test_share)):
        if share and name not in part_N:
            raise UserError(
                f"{len(pairs)} pairs with task.data.source.val_share={val_share} and test_share={test_share} "
                f"leave none for {name}; give more text or change the shares"
            )
    yield from zip(part_N.tolist(), pairs, strict=True)


def clusters(pairs: Sequence[Pair]) -> NDArray[np.int32]:
    """The number of each pair's cluster of near-duplicates, (N)."""
    signatures: list[int] = []
    owners: list[int] = []
    for index, pair in enumerate(pairs):
        for signature in _signatures(pair):
            signatures.append(_hash(signature))
            owners.append(index)
    signature_S, owner_S = np.array(signatures, dtype=np.uint64), np.array(owners, dtype=np.int64)
    order = np.argsort(signature_S, kind="stable")
    signature_S, owner_S = signature_S[order], owner_S[order]
    same = signature_S[1:] == signature_S[:-1]
    links = coo_array(
        (np.ones(same.sum(), dtype=bool), (owner_S[:-1][same], owner_S[1:][same])), shape=(len(pairs), len(pairs))
    )
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int32)


def _signatures(pair: Pair) -> Iterator[str]:
    """Pairs that share one of these are near-duplicates: sentences one word apart agree where that word is left out."""
    words = _words(pair.source)
    yield "source " + " ".join(words)
    yield "target " + " ".join(_words(pair.target))
    if len(words) >= MIN_WORDS:
        for left_out in range(len(words)):
            yield "source " + " ".join(words[:left_out] + words[left_out + 1 :])


def _words(text: str) -> list[str]:
    # A text of signs alone has itself for its only word.
    return re.findall(r"\w+", re.sub(r"\d+", "0", text.casefold())) or [text]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
