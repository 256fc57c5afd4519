"""Concepts: phrases that name organs and findings, in families. Beside reports they teach what a study is about.

A list is a text file: lines that begin with # say where it comes from, every other line is "family<TAB>phrase". The
list that ships, concepts_mesh2017.tsv, holds headings of the U.S. National Library of Medicine's Medical Subject
Headings (MeSH, tree of 2017). It was chosen by a rule on tree numbers that stands in its first lines, before anything
was measured with it, and without a look at the label names of any archive.

Shapes: C phrases · D_T width of report embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files

import numpy as np

from mcmfh.errors import InputError
from mcmfh.store import files

MESH = "mesh2017"
# Each family needs enough phrases that a softmax over them says something.
LEAST_PHRASES = 2
_REPORTS = 1024  # whose clauses are compared with all phrases at a time


@dataclass(frozen=True)
class Phrase:
    family: str
    text: str


@dataclass(frozen=True)
class Concepts:
    """Encoded phrases."""

    phrases: tuple[Phrase, ...]
    vectors: np.ndarray  # float32[C, D_T]: by the report encoder

    def by_families(self, scores: np.ndarray) -> list[np.ndarray]:
        """The columns of scores float[N, C], one a phrase, of each family in the order of the list."""
        families = np.array([phrase.family for phrase in self.phrases])
        return [scores[:, families == name] for name in dict.fromkeys(families.tolist())]

    @property
    def digest(self) -> str:
        """sha256 of the phrases and their vectors."""
        phrases = [[phrase.family, phrase.text] for phrase in self.phrases]
        return files.digest([phrases, files.digest(self.vectors.tobytes())])


def read_concepts(source: str) -> tuple[Phrase, ...]:
    """The phrases of the shipped list (MESH) or of the file at URI `source`; repeated ones count once.

    Raises InputError where the file is missing, a line is not "family<TAB>phrase", or a family has one phrase alone.
    """
    if source == MESH:
        text = (package_files("mcmfh.embeddings") / "concepts_mesh2017.tsv").read_text("utf-8")
    else:
        try:
            text = files.read(source).decode()
        except FileNotFoundError as error:
            raise InputError(f"no list of concepts at '{source}'; give train.concepts a file or '{MESH}'") from error
        except UnicodeDecodeError as error:
            raise InputError(f"the list of concepts '{source}' is not UTF-8; save it as that") from error
    phrases: dict[Phrase, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        family, _, phrase = (part.strip() for part in line.partition("\t"))
        if not family or not phrase:
            raise InputError(f"line {number} of the concepts '{source}' is not 'family<TAB>phrase': '{line[:60]}'")
        phrases[Phrase(family, phrase)] = None
    _check(source, tuple(phrases))
    return tuple(phrases)


def mentions(clauses: np.ndarray, counts: Sequence[int], phrases: np.ndarray) -> np.ndarray:
    """float32[N, C]: how clearly each report names each phrase, the greatest cosine of the phrase with a clause of it.

    clauses: float[S, D_T], of one report after the other; counts: int[N], how many each has, 1 or more; phrases:
    float[C, D_T].
    """
    ends = np.cumsum(counts)
    clauses, phrases = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (clauses, phrases))
    greatest = np.empty((len(counts), len(phrases)), np.float32)
    for start in range(0, len(counts), _REPORTS):
        stop = min(start + _REPORTS, len(counts))
        first = ends[start:stop] - np.asarray(counts[start:stop])
        cosine = clauses[first[0] : ends[stop - 1]] @ phrases.T
        greatest[start:stop] = np.maximum.reduceat(cosine, first - first[0], axis=0)
    return greatest


def without_labels(phrases: Sequence[Phrase], label_names: Sequence[str]) -> tuple[Phrase, ...]:
    """The phrases that do not equal a label's name (without its prefix, underscores as blanks, plural s or not)."""
    names = {_plain(name.rpartition(":")[2]) for name in label_names}
    return tuple(phrase for phrase in phrases if _plain(phrase.text) not in names)


def _plain(name: str) -> str:
    return " ".join(word.rstrip("s") for word in name.lower().replace("_", " ").split())


def _check(source: str, phrases: tuple[Phrase, ...]) -> None:
    if not phrases:
        raise InputError(f"the list of concepts '{source}' is empty; write lines of 'family<TAB>phrase'")
    families = [phrase.family for phrase in phrases]
    for family in dict.fromkeys(families):
        if families.count(family) < LEAST_PHRASES:
            raise InputError(
                f"family '{family}' of the concepts '{source}' has {families.count(family)} phrase; give it "
                f"{LEAST_PHRASES} or more"
            )
