"""Every format that the module states, and what is none."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.archive.dates import day_first_of, parse_date

DAY = "2019-02-03"


SAME_DAY = """
2019-02-03|2019/02/03|2019.02.03|20190203|2019-2-3| 2019-02-03 |20190203141500|201902031415
20190203141500.000000+0100|20190203T141500Z|2019-02-03 00:00:00|2019-02-03T14:15:00.123+01:00|2019/02/03 2:15 PM
3.2.2019|03.02.2019|3. 2. 2019|03.02.2019 14:15|3 Feb 2019|03-FEB-2019|February 3, 2019|Sun, 3 Feb 2019
3. Februar 2019|Feb 3 2019|3 février 2019|3 de febrero de 2019|03FEB2019|3rd February 2019|43499|43499.5|43499,25
"""


@pytest.mark.parametrize("text", SAME_DAY.strip("\n").replace("\n", "|").split("|"))
def test_days(text):
    assert str(parse_date(text)) == DAY


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("13/02/2019", "2019-02-13"),
        ("02/13/2019", "2019-02-13"),
        ("13-02-2019", "2019-02-13"),
        ("03/03/2019", "2019-03-03"),
        ("2019-02", "2019-02"),
        ("2019/2", "2019-02"),
        ("201902", "2019-02"),
        ("Feb 2019", "2019-02"),
        ("2019", "2019"),
        ("2019.0", "2019"),
    ],
)
def test_other_precisions(text, iso):
    assert str(parse_date(text)) == iso


def test_ranges():
    assert (parse_date("2020-02").first, parse_date("2020-02").last) == (date(2020, 2, 1), date(2020, 2, 29))
    assert (parse_date("2020").first, parse_date("2020").last) == (date(2020, 1, 1), date(2020, 12, 31))
    assert parse_date(DAY).precision == "day"


NO_DATE = "|x|Doe Jane|2019-13-01|2019-02-30|1019-02-03|31.04.2019|3/2/2019|3/2/19|03-FEB-19|123|123456789|9999"
NO_DATE += "|7 Foo 2019|2019-00|0|-5|20190230|2019-W05|1e5|99999999"


@pytest.mark.parametrize("text", NO_DATE.split("|"))
def test_what_is_no_date(text):
    with pytest.raises(ValueError, match="date") as caught:
        parse_date(text)
    assert not text or text not in str(caught.value)


def test_the_column_tells_which_number_is_the_day():
    assert day_first_of(["1/2/2019", "13/2/2019", "2019-02-03"]) is True
    assert day_first_of(["1/2/2019", "2/13/2019"]) is False
    assert day_first_of(["13/2/2019", "2/13/2019"]) is day_first_of(["1/2/2019"]) is None
    assert str(parse_date("3/2/2019", day_first=True)) == DAY
    assert str(parse_date("2/3/2019", day_first=False)) == DAY


@given(st.dates(date(1930, 1, 1), date(2150, 12, 31)))
def test_every_day(day):
    serial = (day - date(1899, 12, 30)).days
    for text in (
        day.isoformat(),
        day.strftime("%Y%m%d"),
        day.strftime("%d.%m.%Y"),
        day.strftime("%d %b %Y"),
        str(serial),
    ):
        parsed = parse_date(text)
        assert parsed.first == parsed.last == day
    assert parse_date(datetime(day.year, day.month, day.day).isoformat(" ")).first == day
    assert day + timedelta(0) == date.fromisoformat(str(parsed))


@given(st.text(max_size=30))
def test_any_text_is_a_date_or_a_value_error(text):
    try:
        assert parse_date(text).first <= parse_date(text).last
    except ValueError as error:
        assert str(error).startswith("date ")
