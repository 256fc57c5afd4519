"""PDF → its text layer, by pypdf. A scanned page has none."""

import logging
from io import BytesIO

from mcmfh.archive.limits import DecodeError

_MAX_PAGES = 50
_MAX_CHARACTERS = 400_000


def recognises(data: bytes) -> bool:
    """Whether `data` is a PDF; some writers put a few bytes before the mark."""
    return b"%PDF-" in data[:1024]


def text_of_bytes(data: bytes) -> str:
    """The text of all pages, in their order. Raises DecodeError."""
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its log lines quote the document
    try:
        reader = pypdf.PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DecodeError("PDF is encrypted")
        if len(reader.pages) > _MAX_PAGES:
            raise DecodeError("PDF has more pages than the limit")
        pages: list[str] = []
        for page in reader.pages:
            pages.append(page.extract_text())
            if sum(map(len, pages)) > _MAX_CHARACTERS:
                raise DecodeError("report is longer than the limit")
    except DecodeError:
        raise
    except Exception:  # a parser of hostile bytes may raise anything
        raise DecodeError("PDF cannot be read") from None
    text = "\n".join(pages)
    if not text.strip():
        raise DecodeError("PDF has no text layer")
    return text
