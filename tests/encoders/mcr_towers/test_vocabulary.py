"""Word pieces: the same reports give the same vocabulary, in every process; a given one is checked."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.drawn_pairs import draw

from mcmfh.encoders.mcr_towers.vocabulary import Vocabulary, train_vocabulary
from mcmfh.errors import InputError

CODE = "from support.drawn_pairs import make_vocabulary; print(make_vocabulary().text, end='')"


def test_another_process_learns_the_same_pieces():
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    again = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {paths}; {CODE}"], capture_output=True)
    assert again.stdout.decode() == train_vocabulary(draw(200)[1], 100, 16).text


def test_reports_come_back_from_their_pieces():
    vocabulary = train_vocabulary(draw(200)[1], 100, 16)
    tokens = vocabulary.padded(["The picture is bright, left.", "bright " * 40])
    assert tokens.shape == (2, 16)
    assert "picture is bright" in vocabulary.read(tokens[0])
    assert (tokens[1] != 0).all(), "a long report is cut"
    assert tokens[1][-1] == vocabulary.pieces["[SEP]"]


def test_what_is_no_vocabulary_is_refused():
    with pytest.raises(InputError, match="lacks"):
        Vocabulary("a\nb\n", 16)
    with pytest.raises(InputError, match="first line"):
        Vocabulary("[UNK]\n[PAD]\n[CLS]\n[SEP]\n[MASK]\n", 16)
    with pytest.raises(InputError, match="no word"):
        train_vocabulary([], 100, 16)
