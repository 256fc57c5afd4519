"""A lexicon: the words of training reports, and the few directions in which reports differ by them.

A sentence encoder says what a report is about; it hardly tells one bone, or one rare finding, from another. The words
do. A report is the tf-idf of its words (Salton & Buckley 1988; term frequency 1 + log tf), projected on the leading
right singular vectors of the training reports (latent semantic analysis, Deerwester et al. 1990).

Its sealed folder, below store/encoders:
    terms.txt               one word a line
    directions.safetensors  "idf" float32[V] and "directions" float32[V, D]
    config.json             the encoder that it stands beside, and on whose reports it was fitted (embeddings/seen.py)
Shapes: N reports · V words · D directions.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from mcmfh.errors import InputError
from mcmfh.store.sealed import Kind, Sealed

KIND = Kind("lexicon-1", ("terms.txt", "directions.safetensors"), "lexicon", "fit it again (jobs/lexicon.py)")
MOST_WORDS = 20_000  # the words of most reports
LEAST_REPORTS = 2  # in which a word stands
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Lexicon:
    """Words with their idf and their directions."""

    terms: tuple[str, ...]
    idf: np.ndarray  # float32[V]
    directions: np.ndarray  # float32[V, D]

    @cached_property
    def row(self) -> dict[str, int]:
        """Word → its row."""
        return {term: i for i, term in enumerate(self.terms)}

    @property
    def width(self) -> int:
        """D."""
        return int(self.directions.shape[1])

    def vectors(self, reports: Sequence[str]) -> np.ndarray:
        """float32[N, D] of texts, each by itself: the same whatever stands beside it. A text without words is 0."""
        result = np.zeros((len(reports), self.width), np.float32)
        for i, report in enumerate(reports):
            rows, weights = _weights(Counter(words(report)), self.row, self.idf)
            if len(rows):
                result[i] = (weights[:, None] * self.directions[rows].astype(np.float64)).sum(0)
        return result


def words(report: str) -> Iterator[str]:
    """The words of a report in lower case; numbers and single letters are none."""
    return (word.lower() for word in _WORD.findall(report))


def fit_lexicon(reports: Iterable[str], directions: int) -> Lexicon:
    """The lexicon of training reports. Raises InputError where they have fewer words or texts than `directions`."""
    counts = [Counter(words(report)) for report in reports]
    of_word = Counter(word for count in counts for word in count)
    frequent = sorted(of_word.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]
    terms = tuple(sorted(word for word, number in frequent if number >= LEAST_REPORTS))
    if min(len(terms), len(counts)) <= directions:
        raise InputError(
            f"{len(counts):,} training reports with {len(terms):,} words that repeat make no lexicon of {directions} "
            "directions; ask for fewer, or do without"
        )
    frequency = np.array([of_word[term] for term in terms], np.float64)
    idf = np.log((1 + len(counts)) / (1 + frequency)).astype(np.float32) + np.float32(1)
    row = {term: i for i, term in enumerate(terms)}
    weighted = [_weights(count, row, idf) for count in counts]
    lengths = [len(rows) for rows, _ in weighted]
    places = np.stack([np.repeat(np.arange(len(counts)), lengths), np.concatenate([rows for rows, _ in weighted])])
    values = torch.from_numpy(np.concatenate([weights for _, weights in weighted]))
    shape = (len(counts), len(terms))
    table = torch.sparse_coo_tensor(torch.from_numpy(places), values, shape, check_invariants=True).coalesce()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # More directions are drawn than kept, which makes those that are kept exact (Halko et al. 2011).
        _, _, right = torch.svd_lowrank(table, min(directions + 16, len(counts), len(terms)), niter=8)
    return Lexicon(terms, idf, right[:, :directions].numpy().astype(np.float32))


def save_lexicon(root: str, lexicon: Lexicon, base: dict[str, Any], training: dict[str, Any]) -> str:
    """Write `root`/<digest>/ and return its URI. `base`: name and source of the encoder that it stands beside."""
    arrays = {"idf": lexicon.idf, "directions": np.ascontiguousarray(lexicon.directions)}
    contents = {
        "terms.txt": "\n".join(lexicon.terms).encode(),
        "directions.safetensors": safetensors.numpy.save(arrays),
    }
    return KIND.seal(root, contents, {"base": base, "width": lexicon.width, "training": training})


def open_lexicon(uri: str) -> Sealed:
    """The folder at `uri`, with its config verified. Raises InputError."""
    return KIND.open(uri)


def load_lexicon(folder: Sealed) -> Lexicon:
    """The lexicon, with its files verified. Raises InputError where one is missing or was changed."""
    arrays = safetensors.numpy.load(folder.contents["directions.safetensors"])
    return Lexicon(tuple(folder.contents["terms.txt"].decode().split("\n")), arrays["idf"], arrays["directions"])


def _weights(count: Counter[str], row: dict[str, int], idf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows int64[n], weights float64[n]) of the words of one report that the lexicon has, of unit length together."""
    found = sorted((row[word], number) for word, number in count.items() if word in row)
    rows = np.array([each for each, _ in found], np.int64)
    weights = (1 + np.log(np.array([number for _, number in found], np.float64))) * idf[rows]
    length = np.sqrt(np.sum(weights * weights))
    return rows, weights / length if length else weights
