"""What a hit's distance meant on validation items: the bundle's calibration, looked up and named for what it is."""

from collections.abc import Callable, Mapping
from typing import Any

Precision = Callable[[int], float | None]


def estimated_precision(
    calibration: Mapping[str, Any], bits: int, asked: tuple[str, ...], target: str
) -> tuple[str | None, Precision]:
    """(the name of the figure, distance → its value), for a query of modalities `asked`.

    The name is "relevant" (shares a label) or "same study" (the archive had no labels); None, and no figure, for a
    bundle that was not calibrated.
    """
    tables = calibration.get(str(bits), {})
    table = tables.get(f"{asked[0] if len(asked) == 1 else 'both'}-{target}")
    if table is None:
        return None, lambda distance: None
    values = table["probability"]
    return tables["meaning"], lambda distance: values[distance] if distance < len(values) else None
