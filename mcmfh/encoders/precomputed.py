"""Embeddings that another program made, read from Parquet.

The file has `item_id` and at least one of `image_embedding`, `report_embedding`: lists of floats of one width, null
where an item lacks the modality. Such a file can train, evaluate and hash the archive whose items it names. It cannot
encode new queries: what was hashed is searched by codes. The file's sha256 is the encoder's digest, so that another
file, with more items too, is another encoder.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcmfh.encoders.base import Encoder
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store import files

COLUMNS = {"image": "image_embedding", "report": "report_embedding"}


@dataclass(frozen=True)
class Precomputed:
    """The embeddings of N items. Where an item lacks a modality, its row is zero and `has_…` is False."""

    item_id: np.ndarray  # str[N]
    image: np.ndarray  # float32[N, D_I]; D_I = 0 without the column
    report: np.ndarray  # float32[N, D_T]
    has_image: np.ndarray  # bool[N]
    has_report: np.ndarray  # bool[N]

    def of(self, item_ids: Sequence[str]) -> "Precomputed":
        """The embeddings of `item_ids`, in that order. Raises InputError with the first missing item."""
        row_of = {name: row for row, name in enumerate(self.item_id.tolist())}
        if missing := [name for name in item_ids if name not in row_of]:
            raise InputError(
                f"{len(missing)} items have no precomputed embedding, first '{missing[0]}'; add their rows"
            )
        rows = np.array([row_of[name] for name in item_ids], np.int64)
        return Precomputed(*(column[rows] for column in vars(self).values()))


def read_precomputed(uri: str) -> Precomputed:
    """The embeddings at `uri`. Raises InputError for a missing file or column, a repeated item, unequal widths, NaN."""
    return _parse(uri, _read(uri))


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """The identity of the file at `source`; its sha256 stands for the encoder's weights."""
    data = _read(source)
    rows = _parse(str(source), data)
    for name, width in (("image", rows.image.shape[1]), ("report", rows.report.shape[1])):
        if not width:
            raise InputError(f"precomputed embeddings '{source}' hold none of any {name}; a hash is learnt from pairs")
    return EncoderSpec(
        name="precomputed",
        weights=files.digest(data),
        architecture="embeddings read from Parquet",
        preprocessing=ImagePreprocessing(),
        image_width=rows.image.shape[1],
        report_width=rows.report.shape[1],
        device=device,
        source=source,
    )


def load(device: str, source: str | None = None) -> Encoder:
    """Always raises InputError, because the file has embeddings but no networks."""
    raise InputError(
        "encoder 'precomputed' has embeddings of its listed items only and cannot encode a picture or a report; "
        "serve and embed with the encoder that made them"
    )


def _read(uri: str | None) -> bytes:
    if uri is None:
        raise InputError("encoder 'precomputed' needs encoder.source: the URI of a Parquet file of embeddings")
    try:
        return files.read(files.absolute(uri))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"precomputed embeddings '{uri}' do not exist; give the URI of a Parquet file") from error


def _parse(uri: str, data: bytes) -> Precomputed:
    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise InputError(
            f"precomputed embeddings '{uri}' are not readable Parquet ({error}); write them anew"
        ) from error
    if "item_id" not in table.column_names or not set(COLUMNS.values()) & set(table.column_names):
        raise InputError(f"precomputed embeddings '{uri}' lack item_id or {' / '.join(COLUMNS.values())}; add them")
    items = np.array(table["item_id"].cast(pa.string()).to_pylist(), str)
    if len(np.unique(items)) != len(items):
        raise InputError(f"precomputed embeddings '{uri}' name an item twice; keep one row an item")
    (image, has_image), (report, has_report) = (_vectors(uri, table, column) for column in COLUMNS.values())
    return Precomputed(items, image, report, has_image, has_report)


def _vectors(uri: str, table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(vectors float32[N, D], present bool[N]) of column `name`; D = 0 where the column is missing."""
    if name not in table.column_names:
        return np.zeros((table.num_rows, 0), np.float32), np.zeros(table.num_rows, bool)
    column = table[name].combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    widths = np.unique(pc.list_value_length(column.drop_null()).to_numpy())
    if len(widths) > 1:
        raise InputError(f"column {name} of '{uri}' has vectors of {len(widths)} widths; use one encoder for all")
    vectors = np.zeros((len(present), int(widths[0]) if len(widths) else 0), np.float32)
    vectors[present] = (
        pc.list_flatten(column.drop_null()).to_numpy(zero_copy_only=False).reshape(-1, vectors.shape[1] or 1)
    )
    if not np.isfinite(vectors).all():
        raise InputError(f"column {name} of '{uri}' holds NaN or infinity; make it anew")
    return vectors, present
