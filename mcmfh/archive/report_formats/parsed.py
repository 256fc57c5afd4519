"""What a parser returns: the text of a report and the facts of its header that pairing needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.identity import Identity, without_identity

# Name of a file beside the report → its bytes, or None where it may not or cannot be read.
Beside = Callable[[str], bytes | None]


class Status(IntEnum):
    """How much a report counts: of two versions the higher one wins."""

    PRELIMINARY = 1
    FINAL = 2
    AMENDED = 3


@dataclass(frozen=True)
class ParsedReport:
    """One report. `patient` identifies a person: digest it before it is written anywhere."""

    text: str
    status: Status = Status.FINAL
    study: str = ""  # StudyInstanceUID
    accession: str = ""
    patient: str = ""
    name: str = ""  # versions of one report have the same
    issued: str = ""  # time stamp; later ones sort higher within one format
    delivery: int = 0  # number of the line or message of the file that it came in


def choose(reports: Sequence[ParsedReport]) -> ParsedReport:
    """The one report that a file stands for.

    Of versions of one report the amended wins over the final, the final over the preliminary, the later over the
    earlier. Different reports of one study that came in one document are joined. Raises DecodeError for a file that
    holds reports of several patients, studies or messages.
    """
    standing = drop_superseded(reports)
    if len(standing) == 1:
        return standing[0]
    if len({report.patient for report in standing}) > 1:
        raise DecodeError("file holds reports of several patients")
    if len({(report.study, report.accession) for report in standing}) > 1:
        raise DecodeError("file holds reports of several studies")
    texts = list(dict.fromkeys(" ".join(report.text.split()) for report in standing))
    if len(texts) > 1 and len({report.delivery for report in standing}) > 1:
        raise DecodeError("file holds several reports")
    return replace(standing[0], text="\n".join(distinct_parts(texts)), issued=max(one.issued for one in standing))


def drop_superseded(reports: Sequence[ParsedReport]) -> list[ParsedReport]:
    """`reports` without earlier versions, and without preliminary ones beside a final one of the same study."""
    newest: dict[object, ParsedReport] = {}
    for number, report in enumerate(reports):
        key = (report.patient, report.study, report.accession, report.name) if report.name else number
        if key not in newest or (report.status, report.issued) >= (newest[key].status, newest[key].issued):
            newest[key] = report
    final = {_whose(report) for report in newest.values() if report.status > Status.PRELIMINARY}
    return [one for one in newest.values() if one.status > Status.PRELIMINARY or _whose(one) not in final]


def _whose(report: ParsedReport) -> tuple[str, str, str]:
    return report.patient, report.study, report.accession


def distinct_parts(parts: Sequence[str]) -> list[str]:
    """The parts in their order, without those whose wording another part contains."""
    folded = [" ".join(part.split()) for part in parts]

    def contained(place: int) -> bool:
        words = folded[place]
        return any(
            words in other and (len(other) > len(words) or earlier < place)
            for earlier, other in enumerate(folded)
            if earlier != place
        )

    return [part for place, part in enumerate(parts) if folded[place] and not contained(place)]


def cleaned(report: ParsedReport, identity: Identity) -> ParsedReport:
    """`report` with the patient's own name, numbers and birth date taken out of its text."""
    return replace(report, text=without_identity(report.text, identity))
