"""WordPiece: learnt on the archive's own reports, or a given vocab.txt. Lower case, as BERT uncased."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mcmfh.errors import InputError

PAD = 0
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Vocabulary:
    """`text` is a vocab.txt: one word piece a line, numbered by its line. Raises InputError for another text."""

    def __init__(self, text: str, context: int):
        self.text = text
        self.context = context
        self.pieces = {piece: i for i, piece in enumerate(text.splitlines())}
        if missing := [piece for piece in SPECIAL if piece not in self.pieces]:
            raise InputError(f"the vocabulary lacks {missing[0]}; give a WordPiece vocab.txt, or none to train one")
        if self.pieces["[PAD]"] != PAD:
            raise InputError("the vocabulary's first line is not [PAD]; give a WordPiece vocab.txt")

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import BertWordPieceTokenizer

        tokenizer = BertWordPieceTokenizer(self.pieces, lowercase=True)
        tokenizer.enable_truncation(self.context)
        return tokenizer

    @property
    def special(self) -> list[int]:
        """Numbers of the special pieces, which are not text."""
        return [self.pieces[piece] for piece in SPECIAL]

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        """[CLS] … [SEP] of each report, at most `context` long."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(reports))]

    def read(self, tokens: np.ndarray) -> str:
        """The text of the word pieces int[L]."""
        text: str = self._tokenizer.decode([int(token) for token in tokens])
        return text

    def padded(self, reports: Sequence[str]) -> np.ndarray:
        """int32[B, context], PAD after each report's end."""
        tokens = np.full((len(reports), self.context), PAD, np.int32)
        for row, ids in zip(tokens, self.tokenize(reports)):
            row[: len(ids)] = ids
        return tokens


def train_vocabulary(reports: Iterable[str], size: int, context: int) -> Vocabulary:
    """At most `size` pieces learnt from `reports`; the same reports give the same vocabulary. Raises InputError when no
    report holds a word."""
    from tokenizers import BertWordPieceTokenizer

    reports = list(reports)
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    letters = sorted(set().union(*(tokenizer.normalize(report) for report in reports)) - {" "})
    # Otherwise the trainer numbers inner letters in the order of a hash table, and ties among pieces fall by chance.
    first = [*SPECIAL, *(f"##{letter}" for letter in letters)]
    tokenizer.train_from_iterator(
        reports,
        vocab_size=max(size, len(first)),
        min_frequency=2,
        limit_alphabet=2**31,
        special_tokens=first,
        show_progress=False,
    )
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if not letters:
        raise InputError("the archive's reports hold no word to learn; give pretrain.vocabulary")
    return Vocabulary("".join(f"{piece}\n" for piece, _ in pieces), context)
