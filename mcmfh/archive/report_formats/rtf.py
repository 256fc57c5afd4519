"""RTF → its text, by striprtf. Document properties, page headers and footers are left out: they name patients."""

import re

from striprtf.striprtf import rtf_to_text

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.characters import decode

_HIDDEN = re.compile(r"\{\\v(?![a-z0-9])[^{}]*\}")
_MAX_CHARACTERS = 8 << 20  # striprtf needs about a second for a million


def recognises(data: str) -> bool:
    """Whether `data` begins as RTF."""
    return data.lstrip()[:5] == "{\\rtf"


def text_of_bytes(data: bytes) -> str:
    """The text of an RTF file, which is ASCII by its standard and CP1252 where it is not."""
    return parse(decode(data))


def parse(markup: str) -> str:
    """The text of an RTF document. Raises DecodeError."""
    if len(markup) > _MAX_CHARACTERS:
        raise DecodeError("file is larger than the limit")
    try:
        return str(rtf_to_text(_HIDDEN.sub("", markup.lstrip()), errors="replace"))
    except Exception:  # a parser of hostile text may raise anything
        raise DecodeError("RTF cannot be read") from None
