"""Embeddings read from Parquet: what comes back, and what is refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.encoders.precomputed import read_precomputed
from mcmfh.errors import InputError

IMAGES = [[1.0, 2.0, 3.0], None, [4.0, 5.0, 6.0]]
REPORTS = [[0.5, -0.5], [1.5, 2.5], None]


def write(path, **columns):
    pq.write_table(pa.table({"item_id": ["a", "b", "c"], **columns}), path)
    return str(path)


@pytest.fixture
def uri(tmp_path):
    return write(tmp_path / "embeddings.parquet", image_embedding=IMAGES, report_embedding=REPORTS)


def test_items_come_in_the_order_asked_for(uri):
    rows = read_precomputed(uri).of(["c", "a"])
    assert rows.item_id.tolist() == ["c", "a"]
    assert rows.image.tolist() == [IMAGES[2], IMAGES[0]]
    assert rows.report.tolist() == [[0, 0], REPORTS[0]]
    assert rows.has_image.tolist() == [True, True]
    assert rows.has_report.tolist() == [False, True]
    with pytest.raises(InputError, match="'d'"):
        read_precomputed(uri).of(["a", "d"])


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)])
def test_any_list_of_floats_will_do(tmp_path, kind):
    uri = write(tmp_path / "e.parquet", image_embedding=pa.array(IMAGES, kind))
    rows = read_precomputed(uri)
    assert rows.image.tolist() == [IMAGES[0], [0, 0, 0], IMAGES[2]]
    assert rows.report.shape == (3, 0)


def test_the_file_is_the_identity(uri, tmp_path):
    spec = encoder_spec("precomputed", "cpu", uri)
    assert (spec.image_width, spec.report_width) == (3, 2)
    other = write(tmp_path / "other.parquet", image_embedding=IMAGES[::-1], report_embedding=REPORTS)
    assert encoder_spec("precomputed", "cpu", other).digest != spec.digest


def test_it_cannot_encode(uri):
    with pytest.raises(InputError, match="cannot encode"):
        load_encoder("precomputed", "cpu", uri)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image_embedding": [[1.0], [1.0, 2.0], None]}, "widths"),
        ({"image_embedding": [[1.0], [float("nan")], None]}, "NaN"),
        ({"embedding": IMAGES}, "lack"),
        ({"image_embedding": IMAGES, "item_id": ["a", "b", "a"]}, "twice"),
    ],
)
def test_faults_are_named(tmp_path, columns, message):
    with pytest.raises(InputError, match=message):
        read_precomputed(write(tmp_path / "e.parquet", **columns))


def test_missing_or_foreign_files_are_refused(tmp_path):
    (tmp_path / "x.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="not readable"):
        read_precomputed(str(tmp_path / "x.parquet"))
    with pytest.raises(InputError, match="do not exist"):
        encoder_spec("precomputed", "cpu", str(tmp_path / "y.parquet"))
    with pytest.raises(InputError, match=r"encoder\.source"):
        encoder_spec("precomputed", "cpu")
