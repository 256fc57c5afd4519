"""What a hit's distance meant on validation items: the bundle's calibration, looked up and named for what it is."""

from collections.abc import Callable, Mapping
from typing import Any

Precision = Callable[[int], float | None]


def estimated_precision(
    calibration: Mapping[str, Any], bits: int, asked: tuple[str, ...], target: str
) -> tuple[str | None, Precision]:
    """(the name of the figure, distance → its value), for a query of modalities `asked`.

    The name is "relevant" (shares a label) or "same study" (the archive had no labels). There is no figure, and the
    name is None, where none was measured: for sums of two distances, for studies, for a bundle without calibration.
    """
    tables = calibration.get(str(bits))
    if tables is None or len(asked) != 1 or target == "study":
        return None, lambda distance: None
    table = tables.get(f"{asked[0]}-{target}") or tables.get(f"{target}-{asked[0]}")
    if table is None:
        return None, lambda distance: None
    values = table["probability"]
    return tables["meaning"], lambda distance: values[distance] if distance < len(values) else None
