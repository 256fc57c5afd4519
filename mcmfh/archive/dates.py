"""Dates as hospitals and spreadsheets write them → first and last day, with the precision that was given.

Formats (a time of day behind any of the full dates is passed over):

    2019-02-03  2019/02/03  2019.02.03  20190203  20190203141500     year first: ISO 8601, DICOM DA and DT, HL7 TS
    2019-02  2019/02  201902  Feb 2019  2019                         a month or a year
    3.2.2019                                                         dots: the day stands first
    3/2/2019  3-2-2019                                               read where one of both can only be the day, or
                                                                     where the rest of the column tells (`day_first`)
    3 Feb 2019  03-FEB-2019  February 3, 2019  Sun, 3 Feb 2019       English, German, French and Spanish names
    43499  43499.5                                                   serial days of Excel (1900 system), 1927 to 2173

Years are 1850 to 2150. Two digits are no year, because nobody can say of which century.
"""

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

_EXCEL_EPOCH = date(1899, 12, 30)
_EXCEL_SERIALS = range(10_000, 100_000)
_YEARS = range(1850, 2151)
_NAMES = {
    1: "jan january januar jänner janvier janv enero ene",
    2: "feb february februar février févr fév fevr febrero",
    3: "mar march märz mrz mars marzo maerz",
    4: "apr april avril avr abril abr",
    5: "may mai mayo",
    6: "jun june juni juin junio",
    7: "jul july juli juillet juil julio",
    8: "aug august août aout agosto ago",
    9: "sep sept september septembre septiembre",
    10: "oct october oktober okt octobre octubre",
    11: "nov november novembre noviembre",
    12: "dec december dezember dez décembre déc diciembre dic",
}
_MONTHS = {name: number for number, names in _NAMES.items() for name in names.split()}
_TIME = (
    r"(?:[T\s,]+\d{1,2}[:.h]\d{2}(?:[:.]\d{2})?(?:[.,]\d+)?\s*(?:[AaPp]\.?[Mm]\.?)?\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{2}|\d{4}|\d{6})?(?:\.\d+)?(?:[+-]\d{4})?(?:T\d{4,6}\S*)?")
_MONTH = re.compile(r"(\d{4})[-/](\d{1,2})|(?=\d{6}\Z)(\d{4})(\d{2})")
_YEAR = re.compile(r"(\d{4})(?:\.0)?")
_DOTS = re.compile(rf"(\d{{1,2}})\.\s?(\d{{1,2}})\.\s?(\d{{4}}){_TIME}")
_SLASHES = re.compile(rf"(\d{{1,2}})([-/])(\d{{1,2}})\2(\d{{4}}){_TIME}")
_DAY_NAME = re.compile(
    rf"(?:[^\W\d]+\.?,?\s+)?(\d{{1,2}})(?:st|nd|rd|th|er|\.)?[-/\s]*(?:de\s+)?([^\W\d]+)\.?,?[-/\s]*(?:de\s+)?(\d{{4}}){_TIME}"
)
_NAME_DAY = re.compile(rf"(?:[^\W\d]+\.?,\s+)?([^\W\d]+)\.?[-/\s]*(\d{{1,2}})(?:st|nd|rd|th)?,?[-/\s]+(\d{{4}}){_TIME}")
_NAME_YEAR = re.compile(r"([^\W\d]+)\.?[-/\s,]*(\d{4})")
_SERIAL = re.compile(r"(\d{5})(?:[.,]\d+)?")


@dataclass(frozen=True)
class PartialDate:
    """A day, a month or a year; `first` and `last` are its first and last day."""

    first: date
    last: date
    precision: Literal["year", "month", "day"]

    def __str__(self) -> str:
        """ISO 8601 to the precision that is known: "2019", "2019-02" or "2019-02-03"."""
        return self.first.isoformat()[: {"year": 4, "month": 7, "day": 10}[self.precision]]


def parse_date(text: str, day_first: bool | None = None) -> PartialDate:
    """The date that `text` writes, in one of the formats above. Raises ValueError, without quoting `text`.

    day_first: how 3/2/2019 is to be read; None: it is ambiguous, and an error.
    """
    text = " ".join(text.split())
    for read in (_read_digits, _read_names):
        if (found := read(text, day_first)) is not None:
            return found
    raise ValueError("date is in none of the formats that are read")


def day_first_of(texts: Iterable[str]) -> bool | None:
    """Whether dates such as 13/2/2019 in a column say that the day stands first; None where they do not agree."""
    seen = set()
    for text in texts:
        if match := _SLASHES.fullmatch(text.strip()):
            first, second = int(match[1]), int(match[3])
            if max(first, second) > 12 >= min(first, second):
                seen.add(first > 12)
    return seen.pop() if len(seen) == 1 else None


def _read_digits(text: str, day_first: bool | None) -> PartialDate | None:
    if match := _YEAR_FIRST.fullmatch(text):
        return _day(match[1], match[3], match[4])
    if match := _DIGITS.fullmatch(text):
        return _day(match[1], match[2], match[3])
    if match := _DOTS.fullmatch(text):
        return _day(match[3], match[2], match[1])
    if match := _SLASHES.fullmatch(text):
        first, second = int(match[1]), int(match[3])
        if max(first, second) > 12 or first == second:
            day_first = first > 12
        if day_first is None:
            raise ValueError("date does not say which number is the day; write it as YYYY-MM-DD")
        day, month = (first, second) if day_first else (second, first)
        return _day(match[4], month, day)
    if match := _MONTH.fullmatch(text):
        return _month(match[1] or match[3], match[2] or match[4])
    if match := _YEAR.fullmatch(text):
        year = _year(match[1])
        return PartialDate(date(year, 1, 1), date(year, 12, 31), "year")
    if (match := _SERIAL.fullmatch(text)) and int(match[1]) in _EXCEL_SERIALS:
        day_of = _EXCEL_EPOCH + timedelta(days=int(match[1]))
        return PartialDate(day_of, day_of, "day")
    return None


def _read_names(text: str, _: bool | None) -> PartialDate | None:
    if match := _DAY_NAME.fullmatch(text):
        return _day(match[3], _named(match[2]), match[1])
    if match := _NAME_DAY.fullmatch(text):
        return _day(match[3], _named(match[1]), match[2])
    if match := _NAME_YEAR.fullmatch(text):
        return _month(match[2], _named(match[1]))
    return None


@lru_cache(maxsize=512)
def _named(name: str) -> int:
    month = _MONTHS.get(name.lower())
    if month is None:
        raise ValueError("date names no month that is read")
    return month


def _year(text: str | int) -> int:
    if int(text) not in _YEARS:
        raise ValueError("date has a year that cannot be")
    return int(text)


def _day(year: str | int, month: str | int, day: str | int) -> PartialDate:
    try:
        found = date(_year(year), int(month), int(day))
    except ValueError as error:
        raise ValueError(str(error) if "year that" in str(error) else "date names no day of the calendar") from None
    return PartialDate(found, found, "day")


def _month(year: str | int, month: str | int) -> PartialDate:
    if not 1 <= int(month) <= 12:
        raise ValueError("date names no day of the calendar")
    first = date(_year(year), int(month), 1)
    return PartialDate(first, first.replace(day=calendar.monthrange(first.year, first.month)[1]), "month")
