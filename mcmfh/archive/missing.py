"""Words for "not known", as pandas, spreadsheets, databases and people write them into cells and headers."""

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
_ZEROS = tuple("0" * digits for digits in range(1, 33))
# As the whole of a joining key (patient, study, accession number): one value for everybody whom nobody knows.
NO_KEY = NO_VALUE | frozenset(
    (
        *_ZEROS,
        *("unknown", "unbekannt", "inconnu", "desconocido", "undefined", "unspecified", "not available", "missing"),
        *(
            "anonymous",
            "anonymized",
            "anonymised",
            "anon",
            "anonym",
            "patient",
            "test",
            "no name",
            "noname",
            "xxx",
            "xxxx",
        ),
        *(
            "-",
            "--",
            "---",
            ".",
            "..",
            "?",
            "??",
            "???",
            "*",
            "_",
            "0.0",
            "-1",
            "9999",
            "99999",
        ),
    )
)


def is_key(text: str | None) -> bool:
    """Whether `text` names one patient or study and not all of those whom nobody knows."""
    return text is not None and text.strip().lower() not in NO_KEY


def known_key(text: str) -> str:
    """`text` where it is a key; else ""."""
    return text if is_key(text) else ""
