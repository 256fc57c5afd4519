"""Takes the identity that a report's header states out of the report's text.

Only what the header names can be found. A plain text file has no header, and its text is left as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

BLANK = "___"  # as MIMIC-CXR marks what was taken out
_LEAST_NUMBER = 4  # characters; shorter ones are ordinary numbers
_TITLES = (
    r"mr|mrs|ms|miss|mister|sir|dr|herrn?|frau|patient(?:in)?|pat|pt|name|m|mme|monsieur|madame|"
    r"sra?|señora?|sig(?:ra)?|paciente|paziente"
)


@dataclass(frozen=True)
class Identity:
    """A person as a header names them: names as lists of their parts, numbers, birth dates (YYYYMMDD or ISO)."""

    names: tuple[tuple[str, ...], ...] = ()
    numbers: tuple[str, ...] = ()
    births: tuple[str, ...] = ()


def identity(names: Iterable[str] = (), numbers: Iterable[str] = (), births: Iterable[str] = ()) -> Identity:
    """An Identity of names as one string each ("DOE^JANE", "Doe, Jane", "Jane Doe"); empty ones are skipped."""
    parts = (tuple(part for part in re.split(r"[\s^,=&~]+", name) if len(part) > 1) for name in names)
    return Identity(
        tuple(dict.fromkeys(name for name in parts if name)),
        tuple(dict.fromkeys(number.strip() for number in numbers if number.strip())),
        tuple(dict.fromkeys(birth.strip() for birth in births if birth.strip())),
    )


def without_identity(text: str, person: Identity) -> str:
    """`text` with BLANK for the person's full names, names after a title, numbers and birth date."""
    for pattern in _patterns(person):
        text = re.sub(pattern, BLANK, text, flags=re.IGNORECASE)
    return text


def _patterns(person: Identity) -> Iterable[str]:
    parts_of_names = ["|".join(sorted(map(re.escape, name), key=len, reverse=True)) for name in person.names]
    # Full names first: of a name that is blanked in part, the rest would be recognised no more.
    for one_of, name in zip(parts_of_names, person.names):
        if len(name) > 1:  # two or more parts in any order, initials between them
            yield rf"(?<!\w)(?:{one_of})(?:[\s,^.]+(?:\w\.?[\s,^]+)?(?:{one_of}))+(?!\w)"
    for one_of in parts_of_names:
        yield rf"(?<!\w)(?:{_TITLES})[.:]?[\s:]+(?:{one_of})(?!\w)"
    for number in person.numbers:
        if len(number) >= _LEAST_NUMBER and any(character.isdigit() for character in number):
            yield rf"(?<!\w){re.escape(number)}(?!\w)"
    for birth in person.births:
        digits = re.sub(r"\D", "", birth)[:8]
        if len(digits) == 8:
            year, month, day = digits[:4], digits[4:6], digits[6:]
            short = [rf"0?{int(part)}" if part.isdigit() else part for part in (month, day)]
            between = r"[-./\s]"
            yield (
                rf"(?<!\d)(?:{digits}|{year}{between}{short[0]}{between}{short[1]}|"
                rf"{short[1]}{between}{short[0]}{between}{year}|{short[0]}{between}{short[1]}{between}{year})(?!\d)"
            )
