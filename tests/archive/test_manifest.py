"""Manifests as they come: CSV of all sorts, Parquet, bad rows; faults against a plain-Python reference."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.archive.manifest import SCHEMA, check_manifest, read_manifest, write_manifest
from mcmfh.archive.missing import is_key
from mcmfh.errors import InputError
from mcmfh.store import files


def written(tmp_path, text: str, name: str = "manifest.csv", encoding: str = "utf-8") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_csv_defaults_and_relative_addresses(tmp_path):
    uri = written(
        tmp_path,
        "item_id,image_uri,report,labels,date,site\n"
        "007,images/a.png,,chest| nodule ||,20190203,north\n"
        'b,/data/b.png,"two\nlines, one cell",,2020-01-01,\n'
        "c,s3://bucket/c.dcm,,,,south\n"
        "d,./d.png,  ,,,\n",
    )
    table = read_manifest(uri, filters=["site"])
    assert table.schema.names == [*SCHEMA.names, "site"]
    rows = table.to_pylist()
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert [row["item_id"] for row in rows] == ["007", "b", "c", "d"]
    folder = files.absolute(str(tmp_path))
    assert [row["image_uri"] for row in rows] == [
        f"{folder}/images/a.png",
        "file:///data/b.png",
        "s3://bucket/c.dcm",
        f"{folder}/d.png",
    ]
    assert [row["report"] for row in rows] == [None, "two\nlines, one cell", None, None]
    assert [row["labels"] for row in rows] == [["chest", "nodule"], [], [], []]
    assert [row["date"] for row in rows] == ["2019-02-03", "2020-01-01", None, None]
    assert [row["site"] for row in rows] == ["north", None, "south", None]
    assert all(row["study_id"] == row["group"] == row["item_id"] for row in rows)
    assert check_manifest(table) == []


def test_parquet_with_lists_dictionaries_and_numbers(tmp_path):
    table = pa.table(
        {
            "item_id": pa.array([3, 5]),
            "report": pa.array(["no finding", None]).dictionary_encode(),
            "image_uri": pa.array([None, "x.png"]),
            "labels": pa.array([["a", " ", "b "], None], pa.large_list(pa.string())),
            "study_id": ["s", "s"],
            "age": pa.array([40, 50], pa.int32()),
            "date": pa.array([0, 400], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    read = read_manifest(str(tmp_path / "m.parquet"), ["age"])
    assert read["item_id"].to_pylist() == ["3", "5"]
    assert read["labels"].to_pylist() == [["a", "b"], []]
    assert read["group"].to_pylist() == ["s", "s"]
    assert read["date"].to_pylist() == ["1970-01-01", "1971-02-05"]
    assert read["age"].type == pa.int32()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("item_id;report\nä;Übergröße\n", "utf-8"),
        ("item_id;report\nä;Übergröße\n", "utf-8-sig"),
        ("item_id\treport\nä\tÜbergröße\n", "latin-1"),
    ],
)
def test_european_spreadsheets(tmp_path, text, encoding):
    assert read_manifest(written(tmp_path, text, encoding=encoding)).to_pylist()[0]["report"] == "Übergröße"


def test_rows_of_another_width_are_faults_in_their_place(tmp_path):
    table = read_manifest(written(tmp_path, "item_id,report\na,one\nb,two,three\nc\nd,four\n"))
    assert table["row"].to_pylist() == [0, 1, 2, 3]
    assert table["item_id"].to_pylist() == ["a", "", "", "d"]
    assert [(fault.row, fault.fatal) for fault in check_manifest(table)] == [(1, True), (2, True)]


def test_a_report_of_megabytes(tmp_path):
    text = "word " * 600_000
    assert read_manifest(written(tmp_path, f'item_id,report\na,"{text}"\n'))["report"][0].as_py() == text.strip()


def test_words_for_not_known_are_no_values(tmp_path):
    words = ("nan", "NULL", "None", "n/a", "#N/A", "<NA>", "NaT")
    keys = (*words, "unknown", "0", "-", "Anonymous", "unbekannt")
    rows = [f"{n},{key},{words[n % len(words)]},x.png,{words[n % len(words)]}" for n, key in enumerate(keys)]
    table = read_manifest(written(tmp_path, "item_id,group,report,image_uri,split\n" + "\n".join(rows)))
    assert table["group"].to_pylist() == [str(n) for n in range(len(keys))]
    assert table["report"].null_count == table["split"].null_count == len(keys)
    nameless = read_manifest(written(tmp_path, "item_id,report\nnan,a\nNULL,b\n-,c\n0,d\n"))
    assert nameless["item_id"].to_pylist() == ["", "", "-", "0"]
    assert [fault.row for fault in check_manifest(nameless)] == [0, 1]


def test_numbers_that_became_floats(tmp_path):
    values = {
        "item_id": pa.array([1.0, 2.0, None]),
        "report": ["a", "b", "c"],
        "group": [float("nan"), 1234567890.0, 7.0],
        "study_id": [0.5, 0.5, 1.0],
    }
    pq.write_table(pa.table(values), tmp_path / "m.parquet")
    table = read_manifest(str(tmp_path / "m.parquet"))
    assert table["item_id"].to_pylist() == ["1", "2", ""]
    assert table["group"].to_pylist() == ["0.5", "1234567890", "7"]
    assert read_manifest(written(tmp_path, "item_id,report,group\na,x,7.0\n"))["group"].to_pylist() == ["7"]


def test_dates_of_all_sorts(tmp_path):
    cells = (
        "2019-02-03",
        "3.2.2019",
        "43499",
        "13/02/2019",
        "3/2/2019",
        "2019",
        "Feb 2019",
        "nan",
        "Doe Jane",
        "20190231",
    )
    rows = "".join(f"{n},x,{cell}\n" for n, cell in enumerate(cells))
    table = read_manifest(written(tmp_path, "item_id,report,date\n" + rows))
    day = "2019-02-03"
    assert table["date"].to_pylist() == [day, day, day, "2019-02-13", day, "2019", "2019-02", None, None, None]
    faults = check_manifest(table)
    assert [(fault.row, fault.fatal) for fault in faults] == [(8, False), (9, False)]
    assert "Doe" not in faults[0].reason
    ambiguous = read_manifest(written(tmp_path, "item_id,report,date\na,x,3/2/2019\n"))
    assert "which number is the day" in check_manifest(ambiguous)[0].reason


def test_headers_with_blanks_and_in_any_letter_case(tmp_path):
    table = read_manifest(written(tmp_path, " Item_ID , REPORT ,  Ward\n1, Nodule ,n\n"), ["ward"])
    assert table.to_pylist()[0] | {"labels": None} == {
        **dict.fromkeys(SCHEMA.names),
        **{"row": 0, "item_id": "1", "report": "Nodule", "study_id": "1", "group": "1", "ward": "n"},
    }
    pq.write_table(pa.table({"Item_Id": ["1"], "report ": ["x"]}), tmp_path / "m.parquet")
    assert read_manifest(str(tmp_path / "m.parquet"))["report"].to_pylist() == ["x"]
    pq.write_table(pa.table([["1"], ["x"], ["y"]], names=["item_id", "report", "Report"]), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="columns 2 and 3"):
        read_manifest(str(tmp_path / "m.parquet"))


def test_a_fault_names_its_line(tmp_path):
    table = read_manifest(written(tmp_path, 'item_id,report\na,"two\nlines"\nb,"open\nc,x,y\n'))
    assert [(fault.row, fault.fatal, fault.reason[:6]) for fault in check_manifest(table)] == [
        (1, True, "line 4"),
        (2, True, "line 5"),
    ]
    write_manifest(table, str(tmp_path / "m.parquet"))
    assert check_manifest(read_manifest(str(tmp_path / "m.parquet"))) == check_manifest(table)


@pytest.mark.parametrize(
    "address",
    [
        *("http://h/x.png", "ftp://h/x.png", "memory://x.png", "local://x.png", "s3:/bucket/x.png", "gopher://x"),
        *("s3://", "HTTPS://h/x", "data:/x", "github://a:b@/x.png", "zip://a.png::file:///x.zip", "s3:///x"),
    ],
)
@pytest.mark.parametrize("column", ["image_uri", "report_uri"])
def test_schemes_that_are_not_read_are_faults(tmp_path, address, column):
    table = read_manifest(written(tmp_path, f"item_id,{column}\na,{address}\nb,x.png\n"))
    (fault,) = check_manifest(table)
    assert (fault.row, fault.fatal) == (0, True)
    assert fault.reason == f"{column[:-4]} address has an unsupported scheme"


@pytest.mark.parametrize("address", [r"C:\Images\x.png", "d:/images/x.png", r"\\server\share\x.png"])
@pytest.mark.parametrize("column", ["image_uri", "report_uri"])
def test_paths_of_windows_are_faults(tmp_path, address, column):
    (fault,) = check_manifest(read_manifest(written(tmp_path, f"item_id,{column}\na,{address}\nb,x.png\n")))
    assert (fault.row, fault.fatal, fault.reason) == (0, True, f"{column[:-4]} address is a path of Windows")


def test_zeros_of_any_length_are_no_key(tmp_path):
    table = read_manifest(written(tmp_path, "item_id,report,group\na,x,0\nb,y,000000\nc,z,0000000000\nd,w,0007\n"))
    assert table["group"].to_pylist() == ["a", "b", "c", "0007"]


def test_spellings_of_addresses(tmp_path):
    given_ = ("file:/a/b.png", "FILE:///a/b.png", "S3://bucket/b.png", "s3://bucket/b.png", "/a/b.png", "a:b.png")
    rows = "".join(f"{n},{address}\n" for n, address in enumerate(given_))
    table = read_manifest(written(tmp_path, "item_id,image_uri\n" + rows))
    assert check_manifest(table) == []
    on_disk, in_bucket = "file:///a/b.png", "s3://bucket/b.png"
    assert table["image_uri"].to_pylist() == [
        *(on_disk, on_disk, in_bucket, in_bucket, on_disk),
        f"{files.absolute(str(tmp_path))}/a:b.png",
    ]


@pytest.mark.parametrize(
    ("text", "filters", "culprit"),
    [
        ("id,report\na,b\n", [], "item_id"),
        ("item_id,labels\na,b\n", [], "image_uri"),
        ("item_id,report\na,b\n", ["site"], "'site'"),
        ("", [], "readable"),
    ],
)
def test_unusable_manifests_name_the_culprit(tmp_path, text, filters, culprit):
    with pytest.raises(InputError, match=culprit):
        read_manifest(written(tmp_path, text), filters)


def test_missing_manifest():
    with pytest.raises(InputError, match="does not exist"):
        read_manifest("/nowhere/manifest.csv")


def reference_faults(rows: list[dict]) -> list[tuple[int, str]]:
    """The same rules, one row after the other."""
    found, seen = [], set()
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row["split"] in ("train", "validation", "test"):
            sides.setdefault(row["group"], set()).add(row["split"])
    for row in rows:
        if not row["item_id"]:
            found.append((row["row"], "item_id is empty, or the row has another number of cells than the header"))
        else:
            if row["item_id"] in seen:
                found.append((row["row"], "item_id was used by an earlier row"))
            seen.add(row["item_id"])
            if not (row["image_uri"] or row["report"] or row["report_uri"]):
                found.append((row["row"], "row has neither image nor report"))
        if row["split"] and row["split"] not in ("train", "validation", "test"):
            found.append((row["row"], "split is none of train, validation, test"))
        elif row["split"] and len(sides[row["group"]]) > 1:
            found.append((row["row"], "group stands on two sides of a split"))
    return found


some = st.sampled_from
row_of = st.fixed_dictionaries(
    {
        "item_id": some([None, "", "a", "b", "c", "d", "e"]),
        "image_uri": some([None, "x.png"]),
        "report": some([None, " ", "text"]),
        "report_uri": some([None, "r.txt"]),
        "split": some([None, "train", "Test", "validation", "dev"]),
        "group": some([None, "g", "h"]),
    }
)


@given(rows=st.lists(row_of, max_size=12))
def test_faults_are_those_of_the_plain_rules(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("manifest") / "m.parquet"
    names = ("item_id", "image_uri", "report", "report_uri", "split", "group")
    pq.write_table(pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names}), path)
    table = read_manifest(str(path))
    faults = check_manifest(table)
    assert sorted((fault.row, fault.reason) for fault in faults) == sorted(reference_faults(table.to_pylist()))


def test_write_gives_the_same_bytes_and_reads_back(tmp_path):
    table = read_manifest(written(tmp_path, "item_id,report,labels\na,one,x|y\nb,two,\n"))
    for name in ("1.parquet", "2.parquet", "1.parquet"):
        write_manifest(table, str(tmp_path / name))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    assert read_manifest(str(tmp_path / "1.parquet")).equals(table)


def test_many_rows(tmp_path):
    rows = 200_000
    ids = pa.array([f"item-{n}" for n in range(rows - 1)] + ["item-0"])
    table = pa.table({"item_id": ids, "report": ids, "labels": pa.array(["a|b"] * rows), "split": ["train"] * rows})
    pq.write_table(table, tmp_path / "m.parquet")
    read = read_manifest(str(tmp_path / "m.parquet"))
    assert [fault.row for fault in check_manifest(read)] == [rows - 1]


NOBODY = ["UNKNOWN^", "Unknown Patient", "ANONYMOUS^^", "Null^Null", "no id", "N.N.", "000-00-0000", "999-99-9999"]
NOBODY += ["—", "xxxxx", "not applicable", "Test Patient", "0.00", "\u200b"]


@pytest.mark.parametrize("nobody", NOBODY)
def test_what_says_nobody_in_more_words_is_no_key(tmp_path, nobody):
    uri = written(tmp_path, f'item_id,report,group\na,x,"{nobody}"\nb,x,"{nobody}"\n')
    assert read_manifest(uri)["group"].to_pylist() == ["a", "b"]
    assert not is_key(nobody)


@pytest.mark.parametrize("key", ["patient 0", "test7", "P-000", "患者", "No 5", "Anna Nil", "x", "90009"])
def test_what_names_somebody_is_a_key(tmp_path, key):
    uri = written(tmp_path, f'item_id,report,group\na,x,"{key}"\nb,x,"{key}"\n')
    assert read_manifest(uri)["group"].to_pylist() == [key, key]
    assert is_key(key)


@pytest.mark.parametrize("address", ["s3:b/x", "gs:b", "ftp:x", "file:x.png", "file://server/x.png", "s3n:x"])
def test_addresses_without_their_slashes_are_faults(tmp_path, address):
    faults = check_manifest(read_manifest(written(tmp_path, f"item_id,image_uri\n1,{address}\n")))
    assert [fault.reason for fault in faults] == ["image address has an unsupported scheme"]


@pytest.mark.parametrize(
    "column", [{"report": pa.array([{"a": 1}])}, {"report": pa.array([["a"]])}, {"report": pa.array([b"\xff"])}]
)
def test_a_column_that_is_no_text_is_named(tmp_path, column):
    pq.write_table(pa.table({"item_id": ["1"], **column}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="column report is of the type"):
        read_manifest(str(tmp_path / "m.parquet"))
