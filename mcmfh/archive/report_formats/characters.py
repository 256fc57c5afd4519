"""Bytes → text: a declared character set first, then UTF-8, UTF-16, and CP1252 as everyone means it."""

import codecs
import re

from mcmfh.archive.limits import DecodeError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"))
_MARKS16 = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# ISO-8859-1 has control characters where CP1252 has quotation marks; who declares the one means the other.
_MEANT = {"iso8859-1": "cp1252"}
_MOST_FOREIGN = 0.3  # of the characters that are not blank
_FEW = 8  # signs beyond ASCII; a shorter text may be anything
_CUT = re.compile("[\udcc2-\udcf4][\udc80-\udcbf]*\\Z")  # a letter of UTF-8 whose end is missing
_ESCAPE = re.compile(r"\x1b[\x20-\x2f]*[\x30-\x7e]")
# An escape sequence says which family of ISO 2022 a text is of.
_FAMILIES = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b", "iso2022_jp_2"), (b"\x1b", "iso2022_jp_ext"))


def decode(data: bytes, declared: str | None = None) -> str:
    """The text in `data`, without byte order mark and without ISO 2022 escapes.

    declared: name of the character set that the format states. An unknown name, or one that does not fit, is passed
    over. Raises DecodeError for bytes that are no text.
    """
    for mark, encoding in (*_MARKS, *_MARKS16):
        if data.startswith(mark):
            return without_escapes(_strict(data[len(mark) :], encoding))
    if declared and (text := _declared(data, declared)) is not None:
        return without_escapes(text)
    if b"\0" in (whole := data.rstrip(b"\0\x1a"))[:4096]:
        return _strict(data, _utf16(data))
    data = whole  # databases fill fields of a fixed length with zero bytes
    if b"\x1b" in data:
        for escape, encoding in _FAMILIES:
            if escape in data:
                try:
                    return without_escapes(data.decode(encoding))
                except UnicodeDecodeError:
                    continue
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _mostly_utf8(data) or _western(data)
    return without_escapes(text)


def _mostly_utf8(data: bytes) -> str:
    """UTF-8 in which a few bytes are CP1252, or which was cut inside a letter; "" where most of the letters are not."""
    text = _CUT.sub("", data.decode("utf-8", "surrogateescape"))
    wrong = sum("\udc80" <= character <= "\udcff" for character in text)
    right = sum(character > "\x7f" for character in text) - wrong
    if wrong >= right:
        return ""
    return re.sub("[\udc80-\udcff]", lambda byte: cp1252(byte[0].encode("utf-8", "surrogateescape")), text)


def _western(data: bytes) -> str:
    """CP1252. Raises DecodeError where that gives more signs beyond ASCII than a language of the West has."""
    text = cp1252(data)
    dense = "".join(text.split())
    foreign = sum(character > "\x7f" for character in dense)
    if foreign >= _FEW and foreign > _MOST_FOREIGN * len(dense):
        raise DecodeError("character set cannot be recognised")
    return text


def cp1252(data: bytes) -> str:
    """`data` in Windows-1252; the five bytes that it leaves open are read as ISO-8859-1."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in data)


def without_escapes(text: str) -> str:
    """`text` without ISO 2022 escape sequences."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def _declared(data: bytes, name: str) -> str | None:
    try:
        codec = codecs.lookup(name.strip())
    except LookupError:
        return None
    # base64, zip and the like are codecs too, but no character sets.
    if not getattr(codec, "_is_text_encoding", True):
        return None
    encoding = _MEANT.get(codec.name, codec.name)
    try:
        return cp1252(data) if encoding == "cp1252" else data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _utf16(data: bytes) -> str:
    """The byte order of UTF-16 without a mark. Raises DecodeError where the zero bytes follow no such pattern."""
    sample = data[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if len(data) % 2 == 0 and half and max(even, odd) > 0.4 * half and min(even, odd) < 0.05 * half:
        return "utf-16-le" if odd > even else "utf-16-be"
    raise DecodeError("report is not text")


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise DecodeError("report is not text") from None
