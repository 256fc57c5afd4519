"""Attributes of one DICOM frame, read as far as they can be understood.

pydicom raises on the first value that breaks the rules of its VR, and one such value would reject a sound picture.
Here a number is read from the bytes of its element: "2048,5" is 2048.5, "1A" is 1, and a value that is no number counts
as missing.
"""

import re
from typing import Any

import numpy as np

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_BINARY = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "UV": "u8", "SV": "i8", "FL": "f4", "FD": "f8"}
# Functional groups that hold attributes of the grey-scale pipeline (PS3.3 C.7.6.16).
_MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


class Attributes:
    """Attributes by keyword, from the first of several datasets that holds a usable value."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def of_frame(self, index: int) -> "Attributes":
        """The attributes of frame `index`: its own functional groups come first, then the shared ones."""
        layers = list(self.layers)
        for name, position in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index)):
            groups = self.items(name)
            for macro in _MACROS:
                layers[:0] = Attributes(groups[position]).items(macro)[:1] if position < len(groups) else []
        return Attributes(*layers)

    def numbers(self, keyword: str) -> list[float]:
        """The finite values of an attribute; [] where it has none."""
        for layer in self.layers:
            if usable := [value for value in _values(layer, keyword) if np.isfinite(value)]:
                return usable
        return []

    def number(self, keyword: str) -> float | None:
        """The first finite value of an attribute."""
        return next(iter(self.numbers(keyword)), None)

    def integer(self, keyword: str, default: int = 0) -> int:
        """The first value of an attribute as a whole number."""
        value = self.number(keyword)
        return default if value is None else int(value)

    def text(self, keyword: str) -> str:
        """The first value of a text attribute without blanks around it, in capitals; "" where it has none."""
        for layer in self.layers:
            element = _element(layer, keyword)
            value: Any = element.value if element is not None else None
            if isinstance(value, bytes):
                value = value.decode("latin-1").split("\\")[0]
            elif not isinstance(value, str) and hasattr(value, "__getitem__") and len(value):
                value = value[0]
            if value and (text := str(value).strip(" \0").upper()):
                return text
        return ""

    def items(self, keyword: str) -> list[Any]:
        """The items that are not empty, of a sequence; [] where it cannot be read."""
        for layer in self.layers:
            try:
                found = [item for item in layer.get(keyword) or [] if hasattr(item, "get_item") and len(item)]
            except Exception:  # a broken sequence may raise anything
                continue
            if found:
                return found
        return []

    def data(self, keyword: str) -> tuple[bytes, bool] | None:
        """The bytes of a binary attribute and whether its 16-bit words are big endian; None where there are none."""
        for layer in self.layers:
            element = _element(layer, keyword)
            if element is None or element.value is None:
                continue
            value = element.value
            if not isinstance(value, bytes):  # pydicom made numbers of the words
                try:
                    return np.atleast_1d(np.asarray(value, np.int64)).astype("<u2").tobytes(), False
                except (TypeError, ValueError):
                    continue
            if value:
                return value, element.VR != "OB" and not _is_little_endian(layer, element)
        return None


def _element(dataset: Any, keyword: str) -> Any:
    """The element as it was read, without pydicom's conversion of its value; None where there is none."""
    return dataset.get_item(keyword) if keyword in dataset else None


def _is_little_endian(dataset: Any, element: Any) -> bool:
    little = getattr(element, "is_little_endian", None)
    if little is None:
        little = (getattr(dataset, "original_encoding", None) or (None, None))[1]
    return little is not False


def _values(dataset: Any, keyword: str) -> list[float]:
    element = _element(dataset, keyword)
    if element is None or element.value is None:
        return []
    value = element.value
    if isinstance(value, bytes):
        code = _BINARY.get(_vr(element, keyword))
        if code is None:
            return _parsed(value.decode("latin-1").split("\\"))
        whole = len(value) // int(code[1]) * int(code[1])
        order = "<" if _is_little_endian(dataset, element) else ">"
        return [float(number) for number in np.frombuffer(value[:whole], order + code)]
    listed = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    return _parsed([str(one) for one in listed])


def _vr(element: Any, keyword: str) -> str:
    """The VR in the file, or the dictionary's. A word that may have a sign counts as unsigned."""
    if element.VR not in (None, "UN"):
        return str(element.VR)[:2]
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(keyword)[:2]


def _parsed(texts: list[str]) -> list[float]:
    found = []
    for text in texts:
        if "," in text:  # the last of two kinds of separators is the decimal one
            text = text.replace(".", "") if text.rfind(",") > text.rfind(".") else text.replace(",", "")
        if match := _NUMBER.match(text.replace(",", ".", 1)):
            found.append(float(match[1]))
    return found
