"""What a report asserts: "no pneumothorax" must not teach pneumothorax.

After NegEx (Chapman et al., J Biomed Inform 2001). A report is cut into clauses; a trigger before a phrase negates what
follows it in its clause, a trigger behind a phrase negates the whole clause. Unlike NegEx it looks for no phrases of
its own, but drops what is negated. English only: of a report in another language everything counts as asserted.
"""

import re

# A clause ends at . ; : and line ends, and where the sentence turns.
_CLAUSE = re.compile(
    r"[.;:!?](?=\s|$)|\n|\b(?:but|however|although|though|except|apart from|aside from|yet)\b", re.IGNORECASE
)
_BEFORE = re.compile(
    r"\b(?:no|not|without|absence of|absent|free of|negative for|denies|denied|never|neither|nor|rule out|rules out|"
    r"ruled out|exclude|excludes|lack of|lacks|fails to|failed to|w/o)\b",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"\b(?:(?:is|are|was|were|has been|have been|can be|could be)\s+(?:not|absent|excluded|ruled out|negative)"
    r"|not\s+(?:seen|identified|demonstrated|visualized|visualised|present|evident|detected|appreciated|noted|visible"
    r"|made out)|unlikely)\b",
    re.IGNORECASE,
)
# These look like negations and are none (NegEx's pseudo-negations).
_PSEUDO = re.compile(
    r"\b(?:no (?:significant |interval |definite )?(?:increase|change)|not (?:only|necessarily|certain)|no doubt"
    r"|cannot be excluded|can not be excluded|not (?:be )?(?:excluded|ruled out))\b",
    re.IGNORECASE,
)
# What is left of "there is no …" says nothing.
_EMPTY = re.compile(r"(?:there (?:is|are|was|were)|this|it|the|and|with|shows?|demonstrates?|\s)*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{3,}")


def asserted(report: str) -> str:
    """The report without its negated parts; "" where it asserts nothing."""
    return ". ".join(asserted_clauses(report))


def asserted_clauses(report: str) -> list[str]:
    """The clauses of the report without their negated parts, those that assert nothing left out."""
    kept = []
    for clause in _CLAUSE.split(report):
        # Masked at equal length, so that positions in it are positions in the clause.
        masked = _PSEUDO.sub(lambda found: "#" * len(found.group()), clause)
        if _BEHIND.search(masked):
            continue
        trigger = _BEFORE.search(masked)
        left = (clause[: trigger.start()] if trigger else clause).strip(" \t\r,-")
        if _WORD.search(left) and not (trigger and _EMPTY.fullmatch(left)):
            kept.append(left)
    return kept
