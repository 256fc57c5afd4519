"""Drawing primitives: soft shapes on a warped plane. Every phantom picture is composed of them.

The plane is [-1, 1]², x to the right, y down; the left of a picture is the right of the patient. Each patient's warp
bends the plane before anything is drawn, so that organs vary although every shape is drawn alike. Masks are float32 in
[0, 1] and cover only the box of their shape: most shapes are small, and a thousand pictures must take seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

Point = tuple[float, float]  # (x, y) on the plane

_BEND = 0.018  # standard deviation of the warp
_MARGIN = 0.08  # upper bound of the distance by which the warp moves a point


@dataclass(frozen=True)
class Finding:
    """A finding that the picture shows and the report states. `side`: left | right | "", `size`: small | large | ""."""

    name: str
    side: str = ""
    size: str = ""
    number: str = "single"

    @property
    def sign(self) -> int:
        """Sign of its x coordinate: the patient's left is the picture's right."""
        return {"left": 1, "right": -1}.get(self.side, 1)

    @property
    def scale(self) -> float:
        return {"small": 0.8, "large": 1.5}.get(self.size, 1.1)

    @property
    def count(self) -> int:
        return 1 if self.number == "single" else 4


@dataclass(frozen=True)
class Mask:
    """Values in [0, 1] over a box of the canvas."""

    box: tuple[slice, slice]
    values: np.ndarray

    def __mul__(self, other: float | np.ndarray) -> "Mask":
        return Mask(self.box, self.values * (other[self.box] if isinstance(other, np.ndarray) else np.float32(other)))


def noise(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """float32[size, size], smooth, about standard normal, with `cells` bumps along a side (cells < size)."""
    knots = Image.fromarray(rng.standard_normal((cells + 4, cells + 4), dtype=np.float32))
    # Cubic convolution (Keys 1981, a = -1/2) needs two knots beyond each edge.
    inner = (2, 2, cells + 2, cells + 2)
    return np.array(knots.resize((size, size), Image.Resampling.BICUBIC, box=inner))


def soften(pixels: np.ndarray, factor: int) -> np.ndarray:
    """`pixels` as a detector with `factor` times larger elements would record them."""
    size = pixels.shape[0]
    small = Image.fromarray(pixels).resize((size // factor, size // factor), Image.Resampling.BOX)
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


@lru_cache(maxsize=8)
def _plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
    return np.meshgrid(axis, axis)


class Canvas:
    """`pixels` float32[size, size], with the warped coordinates `x`, `y` and the plain `u`, `v` of each pixel."""

    def __init__(self, size: int, patient: np.random.Generator, study: np.random.Generator, value: float = 0.0) -> None:
        """`patient` draws the warp; `study` draws the small shift and tilt of the positioning."""
        self.size, self.rng = size, study
        (self.detector,) = study.spawn(1)  # a stream of its own, so that a finding changes only the pixels it covers
        self.u, self.v = x, y = _plane(size)
        stretch = patient.uniform(0.95, 1.05, 2).tolist()
        shift, tilt = study.normal(0, 0.015, 2).tolist(), float(study.normal(0, 0.025))
        self.x = (x + shift[0]) * stretch[0] + tilt * y + _BEND * noise(size, 3, patient)
        self.y = (y + shift[1]) * stretch[1] - tilt * x + _BEND * noise(size, 3, patient)
        self.pixels = np.full((size, size), value, np.float32)

    def box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        """The slices that contain every pixel whose warped coordinates may lie in the rectangle."""

        def span(low: float, high: float) -> slice:
            first = int((low - _MARGIN + 1) / 2 * self.size)
            last = int((high + _MARGIN + 1) / 2 * self.size) + 1
            first = max(0, min(first, self.size - 1))
            return slice(first, max(first + 1, min(last, self.size)))

        return span(y0, y1), span(x0, x1)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, angle: float = 0.0, edge: float = 0.03, boxy: bool = False
    ) -> Mask:
        """An ellipse (`boxy`: a superellipse of power 4), turned clockwise by `angle` (radians); `edge`: rim width."""
        cx, cy, rx, ry = float(cx), float(cy), float(rx), float(ry)  # numpy scalars would promote the arrays to float64
        cosine, sine = float(np.cos(angle)), float(np.sin(angle))
        reach = 1.2 if boxy else 1.0
        reach_x = reach * np.hypot(rx * cosine, ry * sine) + edge
        reach_y = reach * np.hypot(rx * sine, ry * cosine) + edge
        box = self.box(cx - reach_x, cy - reach_y, cx + reach_x, cy + reach_y)
        x, y = self.x[box] - cx, self.y[box] - cy
        if angle:
            x, y = x * cosine + y * sine, y * cosine - x * sine
        x, y = (x / rx) ** 2, (y / ry) ** 2
        radius = np.sqrt(np.sqrt(x * x + y * y)) if boxy else np.sqrt(x + y)
        return Mask(box, _rim((radius - 1) * min(rx, ry), edge))

    def tube(self, points: Sequence[Point], radii: float | Sequence[float], edge: float = 0.02) -> Mask:
        """A chain of capsules through `points`, with one radius for all or one for each point."""
        radii = [float(radii)] * len(points) if isinstance(radii, int | float) else [float(radius) for radius in radii]
        points = [(float(x), float(y)) for x, y in points]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        pad = max(radii) + edge
        box = self.box(min(xs) - pad, min(ys) - pad, max(xs) + pad, max(ys) + pad)
        x, y = self.x[box], self.y[box]
        distance = np.full(x.shape, 9, np.float32)
        for (ax, ay), (bx, by), ra, rb in zip(points, points[1:], radii, radii[1:]):
            dx, dy, from_x, from_y = bx - ax, by - ay, x - ax, y - ay
            along = (from_x * dx + from_y * dy) * (1 / (dx * dx + dy * dy + 1e-9))
            np.minimum(np.maximum(along, 0, out=along), 1, out=along)
            from_x -= along * dx
            from_y -= along * dy
            away = np.sqrt(from_x * from_x + from_y * from_y)
            away -= ra + (rb - ra) * along
            np.minimum(distance, away, out=distance)
        return Mask(box, _rim(distance, edge))

    def polygon(self, points: Sequence[Point], edge: float = 0.02) -> Mask:
        """A convex polygon; `points` are its corners, clockwise in the picture."""
        points = [(float(x), float(y)) for x, y in points]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        box = self.box(min(xs) - edge, min(ys) - edge, max(xs) + edge, max(ys) + edge)
        x, y = self.x[box], self.y[box]
        distance = np.full(x.shape, -9, np.float32)
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]]):
            length = float(np.hypot(bx - ax, by - ay)) + 1e-9
            np.maximum(distance, ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / length, out=distance)
        return Mask(box, _rim(distance, edge))

    def paint(self, mask: Mask, value: float | np.ndarray, opacity: float = 1.0) -> None:
        """Blend the pixels under the mask towards `value`."""
        region = self.pixels[mask.box]
        target = value[mask.box] if isinstance(value, np.ndarray) else np.float32(value)
        region += (target - region) * (mask.values * np.float32(opacity))

    def add(self, mask: Mask, value: float | np.ndarray) -> None:
        """Add `value` under the mask, as densities add up in projection."""
        density = value[mask.box] if isinstance(value, np.ndarray) else np.float32(value)
        self.pixels[mask.box] += mask.values * density

    def grain(self) -> np.ndarray:
        """float32[size, size] of the detector's white noise, standard normal."""
        return self.detector.standard_normal(self.pixels.shape, dtype=np.float32)

    def union(self, *masks: Mask) -> Mask:
        """The union of several masks, so that a bone drawn in parts has one rim."""
        rows = slice(min(m.box[0].start for m in masks), max(m.box[0].stop for m in masks))
        columns = slice(min(m.box[1].start for m in masks), max(m.box[1].stop for m in masks))
        values = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        for mask in masks:
            top, left = mask.box[0].start - rows.start, mask.box[1].start - columns.start
            part = values[top : top + mask.values.shape[0], left : left + mask.values.shape[1]]
            np.maximum(part, mask.values, out=part)
        return Mask((rows, columns), values)

    def everywhere(self, mask: Mask) -> np.ndarray:
        """The mask over the whole canvas, float32[size, size]."""
        whole = np.zeros_like(self.pixels)
        whole[mask.box] = mask.values
        return whole

    def bone(self, mask: Mask, value: float, cortex: float) -> None:
        """A bone in projection: `value` inside, a brighter cortex at the rim."""
        rim = mask.values * (1 - mask.values) * 4
        region = self.pixels[mask.box]
        region += value * mask.values + cortex * rim

    def spots(self, count: int, inside: Mask, radius: float) -> list[Point]:
        """Centres of up to `count` spots inside a mask, at least 2 `radius` apart."""
        rows, columns = np.nonzero(inside.values > 0.95)
        if not len(rows):
            rows, columns = np.nonzero(inside.values >= inside.values.max())
        rows, columns = rows + inside.box[0].start, columns + inside.box[1].start
        chosen: list[Point] = []
        for _ in range(20 * count):
            pick = int(self.rng.integers(len(rows)))
            centre = float(self.x[rows[pick], columns[pick]]), float(self.y[rows[pick], columns[pick]])
            if all(np.hypot(centre[0] - x, centre[1] - y) > 2 * radius for x, y in chosen):
                chosen.append(centre)
            if len(chosen) == count:
                break
        return chosen


def _rim(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 inside, 0 outside, with a smooth transition over `edge`; `distance` is negative inside."""
    ramp = distance * np.float32(-1 / edge)
    ramp += np.float32(0.5)
    np.minimum(np.maximum(ramp, 0, out=ramp), 1, out=ramp)
    return ramp * ramp * (3 - 2 * ramp)
