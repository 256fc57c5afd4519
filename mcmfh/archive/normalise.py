"""One normal form of a report's text, for items and for queries: equal wordings are equal strings and get one code."""

import hashlib
import re
import unicodedata

from mcmfh.archive.limits import DecodeError

MAX_CHARACTERS = 100_000
_BETWEEN_WORDS = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]+")
_HALF = re.compile("[\ud800-\udfff]")
_WITHIN_WORDS = dict.fromkeys(map(ord, "\u00ad\u200b\u2060"))  # where a line may break; they show nothing
# Letters by Unicode's book, but they show nothing: the Hangul fillers.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0")


def normalise(text: str) -> str:
    """`text` in NFC, with every run of white space and control characters as one space, and without halves of letters.

    Raises DecodeError where no letter and no digit is left, or where the text is longer than MAX_CHARACTERS.
    """
    if not text.isascii() and _HALF.search(text):  # JSON may write the halves of a letter apart, or one of them alone
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = " ".join(_BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFC", text.translate(_WITHIN_WORDS))).split())
    if not any(character.isalnum() and character not in _INVISIBLE for character in text):
        raise DecodeError("empty report")
    if len(text) > MAX_CHARACTERS:
        raise DecodeError("report is longer than the limit")
    return text


def text_key(text: str) -> str:
    """sha256 (hex) of the normal form without its letter case: equal keys are equal reports. Raises DecodeError."""
    return hashlib.sha256(normalise(text).casefold().encode()).hexdigest()
