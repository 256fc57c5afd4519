"""Look-up tables of DICOM: modality, VOI and palette (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5).

Descriptors are often wrong. What the table itself says wins: its length over the number of entries, its greatest entry
over the bits of an entry, and the reading of the first value (with or without a sign) that meets the pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mcmfh.archive.dicom_attributes import Attributes
from mcmfh.archive.limits import DecodeError

_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Table:
    """`entries` (unsigned integers) of the values from `first` on; `bits` an entry, as the descriptor states them."""

    first: int
    entries: np.ndarray
    bits: int

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """The entries of `values`; a value outside the table takes its first or last entry."""
        places = np.clip(np.rint(values) - self._first_near(values), 0, len(self.entries) - 1)
        found: np.ndarray = self.entries[places.astype(np.int64)]
        return found

    def _first_near(self, values: np.ndarray) -> int:
        """`first` with or without a sign: the reading whose table covers more of the range of the values."""
        low, high = float(values.min()), float(values.max())

        def overlap(first: int) -> float:
            return min(high, first + len(self.entries) - 1) - max(low, first)

        unsigned = self.first % (1 << 16)
        signed = unsigned - (1 << 16) if unsigned >= 1 << 15 else unsigned
        return max((self.first, unsigned, signed), key=overlap)

    @property
    def used_bits(self) -> int:
        """The bits of an entry: those stated, unless an entry exceeds them or none needs the highest of them."""
        needed = max(int(self.entries.max()).bit_length(), 1)
        return needed if needed > self.bits or needed < self.bits - 1 or not self.bits else self.bits


def read_table(item: Any) -> Table | None:
    """The table of an item of a Modality or VOI LUT Sequence; None where the item holds none."""
    attributes = Attributes(item)
    return _table(attributes, "LUTDescriptor", "LUTData")


def palette(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """uint8[rows, columns, 3] of the stored values of a PALETTE COLOR frame. Raises DecodeError without a palette."""
    attributes = Attributes(dataset)
    names = [f"{colour}PaletteColorLookupTable" for colour in _COLOURS]
    tables = [_table(attributes, name + "Descriptor", name + "Data") for name in names]
    found = [table for table in tables if table is not None]
    if len(found) < 3:
        return _by_pydicom(stored, dataset, attributes)
    greatest = max(int(table.entries.max()) for table in found)
    stated = found[0].bits if 8 < found[0].bits <= 16 else 16
    bits = 8 if greatest < 1 << 8 else 12 if greatest < 1 << 12 else max(stated, greatest.bit_length())
    return np.stack([(table.look_up(stored) >> (bits - 8)).astype(np.uint8) for table in found], axis=-1)


def _by_pydicom(stored: np.ndarray, dataset: Any, attributes: Attributes) -> np.ndarray:
    """Segmented tables (PS3.3 C.7.9.2) and the palettes that are known by a UID (PS3.6 B)."""
    from pydicom.pixels.processing import apply_color_lut

    uid = attributes.text("PaletteColorLookupTableUID")
    try:
        if "SegmentedRedPaletteColorLookupTableData" in dataset:
            coloured = apply_color_lut(stored, dataset)[..., :3]
        else:
            coloured = apply_color_lut(stored, palette=uid)[..., :3]
    except Exception:  # whatever is wrong, it is the tables
        raise DecodeError("DICOM palette cannot be read") from None
    return (coloured >> 8 * (coloured.itemsize - 1)).astype(np.uint8)


def _table(attributes: Attributes, descriptor: str, data: str) -> Table | None:
    stated, found = attributes.numbers(descriptor), attributes.data(data)
    if len(stated) < 3 or found is None:
        return None
    count, first, bits = int(stated[0]) % (1 << 16) or 1 << 16, int(stated[1]), int(stated[2])
    entries = _entries(*found, count, bits)
    return Table(first, entries, bits) if len(entries) else None


def _entries(data: bytes, big_endian: bool, count: int, bits: int) -> np.ndarray:
    """One byte an entry where the data are as long as that, else one word an entry."""
    packed = len(data) in (count, count + 1) or (bits <= 8 and len(data) < 2 * count) or len(data) == 1
    if not packed:
        words = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big_endian else "<u2")
        return words.astype(np.uint16)
    if big_endian:  # packed two a word, the lower byte first
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    return np.frombuffer(data, np.uint8)[:count]
