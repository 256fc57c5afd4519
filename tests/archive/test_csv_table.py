"""CSV with every fault that exports have: no row and no column is lost without a word."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcmfh.archive.csv_table import read_csv_table
from mcmfh.errors import InputError


def read(text: str, encoding: str = "utf-8") -> tuple[list[dict], dict[int, str]]:
    found = read_csv_table(text.encode(encoding), "table")
    return found.table.to_pylist(), found.faults


NOT_CLOSED = "line 2: a quote is not closed, or stands inside a cell"


@pytest.mark.parametrize(
    ("body", "ids", "faults"),
    [
        # One quote that is never closed, or closed by the quote of a later row.
        ('1,"Nodule,a.png\n2,Clear,b.png\n3,Stable,c.png\n', [None, "2", "3"], {0: NOT_CLOSED}),
        ('1,"Nodule,a.png\n2,Clear,b.png\n3,"Stable",c.png\n', [None, "2", "3"], {0: NOT_CLOSED}),
        ('1,"Nodule,a.png\n2,Clear,b.png\n3,Stable",c.png\n4,Four,d.png\n', [None, "2", "3", "4"], {0: NOT_CLOSED}),
        ('1,"Nodule,a.png\n2,"Clear",b.png\n3,Stable,c.png\n', [None, "2", "3"], {0: NOT_CLOSED}),
        ('1,"Nodule,a.png\r\n2,Clear,b.png\r\n3,Stable",c.png\r\n', [None, "2", "3"], {0: NOT_CLOSED}),
        ('1,"a"b,a.png\n2,Clear,b.png\n', [None, "2"], {0: NOT_CLOSED}),
        # What only looks like it.
        ('1,"Nodules:\n2, 5 mm, stable\n3, 6 mm",a.png\n2,Clear,b.png\n3,Clear,c.png\n', ["1", "2", "3"], {}),
        ('1,"Findings: left, right, none.\nNo, no and no",a.png\n2,Clear,b.png\n', ["1", "2"], {}),
        ('1,"a ""quoted"" word",a.png\n2, "with, blanks",b.png\n3,5" tube,c.png\n', ["1", "2", "3"], {}),
        # Cells too many and too few; blank lines are no rows.
        ("1,a\n\n2,b,c,d\n,,\n3,c,c.png\n", [None, None, "3"], {0: "line 2 has 2 cells", 1: "line 4 has 4 cells"}),
    ],
)
def test_rows(body, ids, faults):
    rows, found = read("item_id,report,image_uri\n" + body)
    assert [row["item_id"] for row in rows] == ids
    assert {row: reason[: len(faults.get(row, ""))] for row, reason in found.items()} == faults


def test_two_patients_are_not_swallowed_where_ids_are_names():
    rows, faults = read('item_id;report\ncov_1a2;"Nodule\ncov_2b3;Clear\ncov_3c4;Stable"\ncov_4d5;x\n')
    assert [row["item_id"] for row in rows] == [None, "cov_2b3", "cov_3c4", "cov_4d5"]
    assert list(faults) == [0]


def test_faults_do_not_quote_cells():
    _, faults = read('id,report\n1,"Doe Jane\n2,x\n3,Doe Jane,Doe\n')
    assert len(faults) == 2
    assert "Doe" not in repr(faults)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_exports_of_the_world(encoding, delimiter, ending):
    text = ending.join([delimiter.join(row) for row in ((" Größe ", "Befund", ""), ("3", "Erguß", ""))])
    assert read(text, encoding) == ([{"Größe": "3", "Befund": "Erguß"}], {})


def test_columns_without_a_name_and_the_separator_line_of_excel():
    assert read("sep=;\na;;\n1;2;\n")[0] == [{"a": "1", "column 2": "2"}]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a, A \n1,2\n", "columns 1 and 2 are both called 'A'"),
        (b"x,y,x\n", "columns 1 and 3"),
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"a\0\0b\x01\n", "neither readable"),
        (b'"a,b\n1,2\n', "header in line 1"),
    ],
)
def test_unusable_files(data, reason):
    with pytest.raises(InputError, match=reason):
        read_csv_table(data, "table")


plain_cell = st.text(st.sampled_from('ab1 ,;"\n|é'), max_size=6)


@given(st.lists(st.tuples(plain_cell, plain_cell, plain_cell), max_size=8))
@example([("", "", "\n1,,")])
def test_what_a_csv_writer_writes_is_read(rows):
    import csv
    import io

    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL).writerows(
        [("k", "b", "c"), *((f"k{n}", *row[1:]) for n, row in enumerate(rows))]
    )
    found, faults = read(sink.getvalue())
    assert not faults
    assert [tuple(row.values()) for row in found] == [
        (f"k{n}", row[1] or None, row[2] or None) for n, row in enumerate(rows)
    ]


@given(st.text(st.sampled_from('ab1,"\n'), max_size=60))
def test_every_line_is_a_row_a_part_of_one_or_a_fault(body):
    rows, faults = read("item_id,b\n" + body)
    assert set(faults) <= set(range(len(rows)))
    lines = [line for line in body.split("\n") if line.strip('," ')]
    text = " ".join(str(cell) for row in rows for cell in row.values())
    for number, line in enumerate(lines):
        words = [word for word in line.replace('"', ",").split(",") if word]
        assert faults or all(word in text for word in words), (number, line)


@pytest.mark.parametrize("invisible", ["\u200b", "\ufeff", "\u2060", "\u200e", "\u00ad", "\u00a0"])
def test_what_shows_nothing_is_no_part_of_a_header(invisible):
    table = read_csv_table(f"item_id,{invisible}report\na,x\n".encode(), "table").table
    assert table.column_names == ["item_id", "report"]


def test_zero_bytes_of_a_database_are_passed_over():
    table = read_csv_table(b"item_id,report\na,left\0\0\nb,right\nc,neither of them\nd,both of them\n", "table").table
    assert table["report"].to_pylist() == ["left", "right", "neither of them", "both of them"]


def test_a_value_that_excel_keeps_as_text_is_that_value():
    table = read_csv_table(b'item_id,report\n"=""007""",x\n="008",y\n==,z\n', "table").table
    assert table["item_id"].to_pylist() == ["007", "008", "=="]


def test_a_first_row_that_is_taken_for_a_header_is_not_quoted():
    for row in (b"17,DOE^JANE,DOE^JANE,report\n", b"17,Doe  Jane,DOE JANE\n"):
        with pytest.raises(InputError, match="columns 2 and 3") as refusal:
            read_csv_table(row, "manifest 'x'", {"item_id", "report"})
        assert "DOE" not in str(refusal.value)
    with pytest.raises(InputError, match="columns 1 and 2 are both called 'Report'"):
        read_csv_table(b"report,Report\n", "manifest 'x'", {"item_id", "report"})


def test_swallowed_rows_whose_keys_are_words_are_told_by_their_other_columns():
    rows = "".join(
        f"{name},Clear lungs,g{number},2019-01-0{number}\n" for number, name in enumerate(("a", "b", "c"), 1)
    )
    swallowing = 'anna,"No effusion,g5,2019-02-03\nbob,Clear,g6,2019-02-04\ncarl,Fine",g7,2019-02-05\n'
    table, faults = read(f"item_id,report,group,date\n{swallowing}{rows}")
    assert list(faults) == [0]
    assert "line 2" in faults[0]
    assert [row["item_id"] for row in table] == [None, "bob", "carl", "a", "b", "c"]
    prose = 'anna,"FINDINGS:\nheart, lungs, bones, pleura\nnormal, 2 views, fine, 3\nend",g5,2019-02-03\n'
    assert read(f"item_id,report,group,date\n{prose}{rows}")[1] == {}
