"""The estimated precision of a hit: the bundle's calibration, looked up by the hit's distance."""

from collections.abc import Callable, Mapping
from typing import Any

Precision = Callable[[int], float | None]  # distance → precision


def estimated_precision(
    calibration: Mapping[str, Any], bits: int, query_modalities: tuple[str, ...], target: str
) -> tuple[str | None, Precision]:
    """(the name of the figure, distance → its value), for a query of these modalities.

    The name is "relevant" (shares a label) or "same study" (the archive had no labels). Without a calibration of the
    bundle for such queries, the name and every value are None.
    """
    tables = calibration.get(str(bits), {})
    table = tables.get(f"{query_modalities[0] if len(query_modalities) == 1 else 'both'}-{target}")
    if table is None:
        return None, lambda distance: None
    values = table["probability"]
    return tables["meaning"], lambda distance: values[distance] if distance < len(values) else None
