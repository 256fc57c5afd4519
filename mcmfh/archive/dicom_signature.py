"""What can be told of DICOM without parsing it: whether bytes are DICOM at all, and how the data set is encoded."""

import struct

_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # VRs with a length of 32 bits
_ENCODINGS = ((True, "<"), (True, ">"), (False, "<"))  # (explicit VR, byte order)
_MOST_ELEMENTS = 4
_LONGEST_IMPLICIT = 1 << 16  # a first element of a file that is longer is none


def looks_like_dicom(data: bytes) -> bool:
    """Whether `data`, or its beginning, is DICOM: marked as Part 10, or elements that can follow each other.

    A file without the preamble may begin with any element.
    """
    return data[128:132] == b"DICM" or any(_are_elements(data, *encoding) for encoding in _ENCODINGS)


def transfer_syntax(data: bytes) -> tuple[bytes, int] | None:
    """The transfer syntax that the meta information of `data` states, and where the data set begins after it."""
    position = 132 if data[128:132] == b"DICM" else 0
    syntax = None
    while data[position : position + 2] == b"\x02\0" and position + 8 <= len(data):
        value = _value(data, position, True, "<")
        if value is None:
            return None
        start, length = value
        if data[position + 2 : position + 4] == b"\x10\0":
            syntax = data[start : start + length].rstrip(b" \0")
        position = start + length
    return (syntax, position) if syntax is not None else None


def _are_elements(data: bytes, explicit: bool, order: str) -> bool:
    """Whether `data` begin with data elements in ascending order; what follows a cut element is not asked."""
    position, last, seen = 0, -1, 0
    while seen < _MOST_ELEMENTS:
        if position == len(data):
            return seen > (0 if explicit else 1)
        if position + 8 > len(data):
            return seen > 1
        group, element = struct.unpack_from(order + "HH", data, position)
        tag = group << 16 | element
        if tag <= last or not _may_hold(group, first=not seen):
            return False
        value = _value(data, position, explicit, order)
        if value is None:
            return False
        start, length = value
        seen, last = seen + 1, tag
        if explicit and group == 2:  # the meta information; the data set after it may have another encoding
            return True
        if length == 0xFFFFFFFF or start + length > len(data):  # a sequence, or the end of what was read
            return explicit or seen > 1
        position = start + length
    return True


def _may_hold(group: int, first: bool) -> bool:
    """Whether elements of `group` are of the kind that a file holds; one never begins with private or late groups."""
    return 2 <= group <= 0x0100 and group % 2 == 0 if first else 2 <= group <= 0x7FE0


def _value(data: bytes, position: int, explicit: bool, order: str) -> tuple[int, int] | None:
    """(start, length) of the value of the element at `position`; None where its VR or length cannot be."""
    if not explicit:
        length = struct.unpack_from(order + "I", data, position + 4)[0]
        short = length <= _LONGEST_IMPLICIT and length % 2 == 0
        return (position + 8, length) if short or length == 0xFFFFFFFF else None
    vr = data[position + 4 : position + 6]
    if vr not in _VRS:
        return None
    if vr not in _LONG:
        return position + 8, struct.unpack_from(order + "H", data, position + 6)[0]
    if position + 12 > len(data) or data[position + 6 : position + 8] != b"\0\0":
        return None
    return position + 12, struct.unpack_from(order + "I", data, position + 8)[0]
