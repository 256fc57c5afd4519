"""Words for "not known", as pandas, spreadsheets, databases and people write them into cells and headers."""

import re

# As the whole of any cell, letter case aside.
NO_VALUE = frozenset(
    (
        "",
        "nan",
        "null",
        "none",
        "nil",
        "na",
        "n/a",
        "#n/a",
        "#na",
        "<na>",
        "n.a.",
        "nat",
        "(null)",
        "\\n",
        "#value!",
        "#ref!",
    )
)
# As the whole of a joining key (patient, study, accession number): one value for everybody whom nobody knows.
NO_KEY = NO_VALUE | frozenset(("-1",))
_WORDS = """unknown unbekannt inconnu desconocido undefined unspecified missing anonymous anonymized anonymised anon
anonym patient test dummy name noname id noid no not available applicable tbd nan null none nil nn"""
_WORD = f"(?:{'|'.join(_WORDS.split())}|n n|n a)"
# The same, of a key in lower case whose punctuation is a blank: only such words, or only zeros, nines or letters x.
NO_KEY_PATTERN = rf"\A(?:{_WORD}(?: {_WORD})*|[0 ]*|9{{4,}}|9{{3}} 9{{2}} 9{{4}}|x{{3,}})\z"
_NO_KEY = re.compile(NO_KEY_PATTERN.replace(r"\z", r"\Z"))


def is_key(text: str | None) -> bool:
    """Whether `text` names one patient or study and not all of those whom nobody knows."""
    if text is None or text.strip().lower() in NO_KEY:
        return False
    return not _NO_KEY.match(re.sub(r"[\W_]+", " ", text.lower()).strip())


def known_key(text: str) -> str:
    """`text` where it is a key; else ""."""
    return text if is_key(text) else ""
