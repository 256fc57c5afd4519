"""Draws ultrasound: a fan or a strip of echoes with speckle. Fluid is black, hard objects cast shadows."""

import numpy as np

from mcmfh.phantom.anatomy import Canvas, Finding, Mask, noise

_APEX, _NEAR, _FAR, _HALF_ANGLE = -1.25, 0.42, 2.15, 0.72


class _Beam:
    """Depth in [0, 1] and direction in [-1, 1] of every pixel; a linear probe has parallel beams."""

    def __init__(self, canvas: Canvas, linear: bool) -> None:
        depth = (canvas.v + 0.92) / 1.84 if linear else (np.hypot(canvas.u, canvas.v - _APEX) - _NEAR) / (_FAR - _NEAR)
        across = canvas.u / 0.92 if linear else np.arctan2(canvas.u, canvas.v - _APEX) / _HALF_ANGLE
        self.depth, self.across = depth, across
        self.linear = linear
        edge = np.minimum(np.minimum(depth, 1 - depth), (1 - np.abs(across)) * 0.7)
        self.visible = np.clip(edge / 0.012, 0, 1)

    def at(self, x: float, y: float) -> tuple[float, float]:
        if self.linear:
            return (y + 0.92) / 1.84, x / 0.92
        return float((np.hypot(x, y - _APEX) - _NEAR) / (_FAR - _NEAR)), float(np.arctan2(x, y - _APEX) / _HALF_ANGLE)

    def behind(self, x: float, y: float, radius: float) -> np.ndarray:
        """float[size, size]: 1 behind a disc, along the beams that pass it, and 0 elsewhere."""
        depth, across = self.at(x, y)
        width = radius / (0.92 if self.linear else _HALF_ANGLE * (depth * (_FAR - _NEAR) + _NEAR))
        strip = np.clip((width - np.abs(self.across - across)) / (0.3 * width), 0, 1)
        shadow: np.ndarray = strip * np.clip((self.depth - depth) / 0.02, 0, 1)
        return shadow

    def grain(self, canvas: Canvas) -> np.ndarray:
        """Speckle noise: Rayleigh distributed, finer along the beam than across it."""
        fine = canvas.detector.rayleigh(0.8, (canvas.size, canvas.size // 2)).astype(np.float32)
        smooth = (fine + np.roll(fine, 1, 0) + np.roll(fine, 1, 1)) * np.float32(1 / 3)
        rows = np.clip(self.depth * (canvas.size - 1), 0, canvas.size - 1).astype(np.intp)
        columns = np.clip((self.across + 1) / 2 * (canvas.size // 2 - 1), 0, canvas.size // 2 - 1).astype(np.intp)
        speckle: np.ndarray = smooth[rows, columns]
        return speckle


def _develop(canvas: Canvas, beam: _Beam, decay: float = 0.35) -> None:
    """Turn echoes into the picture: speckle, attenuation with depth, log compression, and black outside the fan."""
    echo = np.maximum(canvas.pixels, 0) * beam.grain(canvas) * (1.1 - decay * np.clip(beam.depth, 0, 1))
    canvas.pixels = (np.log1p(6 * echo) / np.log(7) * beam.visible).astype(np.float32)


def abdomen(canvas: Canvas, findings: list[Finding]) -> None:
    """Liver, gall bladder and kidney. Findings: stone (gall bladder), cyst (liver), liver_lesion, steatosis."""
    named, beam = {finding.name: finding for finding in findings}, _Beam(canvas, linear=False)
    fat = named.get("steatosis")
    canvas.pixels[:] = 0.42 + 0.04 * noise(canvas.size, 10, canvas.rng)
    canvas.paint(canvas.ellipse(-0.05, -1.0, 0.8, 0.28, edge=0.1), 0.55)
    liver = canvas.ellipse(-0.10, -0.05, 0.70, 0.66, edge=0.05)
    canvas.paint(liver, (0.72 if fat else 0.36) + 0.03 * noise(canvas.size, 24, canvas.rng))
    canvas.paint(canvas.tube([(-0.75, 0.10), (-0.45, 0.52), (0.0, 0.72), (0.40, 0.66)], 0.022, edge=0.03), 1.5)
    canvas.paint(canvas.ellipse(0, 1.05, 1.0, 0.35, edge=0.1), 0.16)
    for x, y, turn in ((-0.40, -0.05, 0.5), (-0.20, -0.40, -0.3), (-0.12, 0.30, 0.9)):
        canvas.paint(canvas.ellipse(x, y, 0.15, 0.045, turn, edge=0.02), 0.12 if fat else 0.85)
        canvas.paint(canvas.ellipse(x, y, 0.14, 0.028, turn, edge=0.02), 0.10 if fat else 0.05)
    kidney = canvas.ellipse(0.42, 0.30, 0.26, 0.13, 0.6, edge=0.03)
    canvas.paint(kidney, 0.22)
    canvas.paint(canvas.ellipse(0.42, 0.30, 0.16, 0.055, 0.6, edge=0.04), 0.85)
    bladder = canvas.ellipse(0.22, -0.22, 0.13, 0.27, -0.5, edge=0.02)
    canvas.paint(canvas.ellipse(0.22, -0.22, 0.15, 0.29, -0.5, edge=0.03), 0.75)
    canvas.paint(bladder, 0.015)
    canvas.pixels *= 1 + 0.5 * beam.behind(0.30, 0.0, 0.10)
    for finding in findings:
        if finding.name == "stone":
            for x, y in [(0.30, -0.06), (0.22, -0.14), (0.13, -0.24)][: 1 if finding.count == 1 else 3]:
                radius = 0.05 * finding.scale
                canvas.pixels *= 1 - 0.96 * beam.behind(x, y, radius)
                canvas.paint(canvas.ellipse(x, y, radius, radius * 0.7, edge=0.02), 2.2)
        elif finding.name == "cyst":
            for x, y in canvas.spots(min(finding.count, 3), canvas.ellipse(-0.30, -0.05, 0.25, 0.32), 0.16):
                radius = 0.11 * finding.scale * (0.75 if finding.count > 1 else 1)
                canvas.pixels *= 1 + 1.1 * beam.behind(x, y + radius, radius * 0.9)
                canvas.paint(canvas.ellipse(x, y, radius, radius, edge=0.015), 0.01)
        elif finding.name == "liver_lesion":
            for x, y in canvas.spots(min(finding.count, 3), canvas.ellipse(-0.30, -0.05, 0.25, 0.32), 0.16):
                radius = 0.11 * finding.scale * (0.8 if finding.count > 1 else 1)
                canvas.paint(canvas.ellipse(x, y, radius * 1.2, radius * 1.2, edge=0.03), 0.10)
                canvas.paint(
                    canvas.ellipse(x, y, radius, radius, edge=0.03), 1.15 + 0.2 * noise(canvas.size, 30, canvas.rng)
                )
    _develop(canvas, beam, 0.95 if fat else 0.35)


def obstetric(canvas: Canvas, findings: list[Finding]) -> None:
    """The pregnant uterus. Findings: twin_pregnancy, ventriculomegaly, oligohydramnios."""
    named, beam = {finding.name: finding for finding in findings}, _Beam(canvas, linear=False)
    dry, twins, wide = named.get("oligohydramnios"), named.get("twin_pregnancy"), named.get("ventriculomegaly")
    flip = int(canvas.rng.choice([-1, 1]))
    canvas.pixels[:] = 0.45 + 0.08 * noise(canvas.size, 9, canvas.rng)
    canvas.paint(canvas.ellipse(0, 0.05, 0.86, 0.74, edge=0.05), 0.35)
    canvas.paint(canvas.ellipse(0, 0.08, 0.66 if dry else 0.80, 0.46 if dry else 0.66, edge=0.03), 0.012)
    canvas.paint(
        canvas.tube([(-0.62 * flip, 0.30), (-0.60 * flip, -0.10), (-0.35 * flip, -0.42)], 0.12, edge=0.04), 0.62
    )
    if twins:
        _fetus(canvas, beam, -0.28, 0.02, 0.19, 1, None)
        _fetus(canvas, beam, 0.30, 0.22, 0.18, -1, None)
    else:
        _fetus(canvas, beam, 0.20 * flip, 0.05, 0.30, flip, wide)
    canvas.pixels[canvas.y > 0.80] *= 1.3
    _develop(canvas, beam, 0.3)


def _fetus(canvas: Canvas, beam: _Beam, x: float, y: float, size: float, flip: int, wide: Finding | None) -> None:
    body = x - 1.75 * size * flip, y + 0.45 * size
    canvas.paint(canvas.ellipse(*body, size * 1.05, size * 0.70, 0.2 * flip, edge=0.03), 0.42)
    for step in range(7):
        centre = body[0] + (step - 3) * 0.27 * size * flip, body[1] + size * (0.48 + 0.02 * (step - 3) ** 2 * 0.4)
        canvas.paint(canvas.ellipse(*centre, 0.035, 0.025, edge=0.02), 1.9)
    canvas.paint(canvas.ellipse(body[0] + 0.35 * size * flip, body[1], 0.24 * size, 0.20 * size, edge=0.02), 0.06)
    canvas.paint(canvas.ellipse(x, y, size * 1.18, size * 0.92, edge=0.02), 2.0)
    canvas.paint(canvas.ellipse(x, y, size * 1.04, size * 0.79, edge=0.02), 0.16)
    canvas.paint(canvas.tube([(x - size * 0.95, y), (x + size * 0.95, y)], 0.010, edge=0.015), 0.9)
    if wide:
        for side in (-1, 1):
            room = 0.24 * wide.scale * size
            canvas.paint(canvas.ellipse(x, y + 0.36 * side * size, size * 0.72, room * 1.15, edge=0.02), 0.8)
            canvas.paint(canvas.ellipse(x, y + 0.36 * side * size, size * 0.66, room, edge=0.02), 0.008)
    canvas.pixels *= 1 - 0.45 * beam.behind(x, y + size * 0.8, size * 0.7)


def thyroid(canvas: Canvas, findings: list[Finding]) -> None:
    """Transverse view of the neck. Findings: nodule, cyst, goitre."""
    named, beam = {finding.name: finding for finding in findings}, _Beam(canvas, linear=True)
    big = 1.0 if "goitre" not in named else {"small": 1.3}.get(named["goitre"].size, 1.55)
    canvas.pixels[:] = 0.30 + 0.06 * noise(canvas.size, 12, canvas.rng)
    layers = 0.5 + 0.5 * np.cos(canvas.y * 55 + noise(canvas.size, 4, canvas.rng))
    canvas.paint(
        Mask((slice(None), slice(None)), np.clip((-0.52 - canvas.y) / 0.05, 0, 1).astype(np.float32)),
        0.22 + 0.5 * layers,
    )
    muscle = 0.14 + 0.10 * layers
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(0.42 * side, -0.42, 0.45, 0.11, 0.1 * side, edge=0.03), muscle)
    canvas.paint(canvas.ellipse(0, 0.85, 0.9, 0.35, edge=0.08), 0.2)
    lobes: dict[int, Mask] = {}
    for side in (-1, 1):
        lobes[side] = canvas.ellipse(0.40 * side, -0.02, 0.22 * big, 0.25 * big, 0.35 * side, edge=0.03)
    gland = canvas.union(*lobes.values(), canvas.tube([(-0.3, -0.22), (0, -0.28), (0.3, -0.22)], 0.055 * big))
    canvas.paint(gland, 0.72 + 0.05 * noise(canvas.size, 28, canvas.rng))
    canvas.paint(canvas.ellipse(0, 0.10, 0.20, 0.28, edge=0.03), 0.04)
    canvas.paint(canvas.tube([(-0.19, 0.06), (-0.11, -0.13), (0, -0.18), (0.11, -0.13), (0.19, 0.06)], 0.022), 1.6)
    for step in range(4):
        canvas.paint(canvas.ellipse(0, -0.06 + 0.10 * step, 0.11, 0.012, edge=0.02), 0.35 - 0.07 * step)
    for side in (-1, 1):
        x = 0.40 * side + side * (0.22 * big + 0.12)
        canvas.pixels *= 1 + 0.5 * beam.behind(x, 0.16, 0.07)
        canvas.paint(canvas.ellipse(x, 0.06, 0.12, 0.11, edge=0.02), 0.7)
        canvas.paint(canvas.ellipse(x, 0.06, 0.10, 0.09, edge=0.02), 0.015)
    for finding in findings:
        if finding.name not in ("nodule", "cyst"):
            continue
        radius = 0.085 * finding.scale
        for x, y in canvas.spots(
            min(finding.count, 3), canvas.ellipse(0.40 * finding.sign, -0.02, 0.12, 0.15), radius * 0.9
        ):
            if finding.name == "cyst":
                canvas.pixels *= 1 + 0.8 * beam.behind(x, y + radius, radius * 0.9)
                canvas.paint(canvas.ellipse(x, y, radius, radius * 0.9, edge=0.015), 0.008)
            else:
                canvas.paint(canvas.ellipse(x, y, radius * 1.15, radius * 1.05, edge=0.02), 0.05)
                canvas.paint(
                    canvas.ellipse(x, y, radius, radius * 0.9, edge=0.02),
                    0.30 + 0.1 * noise(canvas.size, 35, canvas.rng),
                )
                for _ in range(4):
                    turn, reach = canvas.rng.uniform(0, 6.3), canvas.rng.uniform(0, 0.6) * radius
                    canvas.paint(canvas.ellipse(x + reach * np.cos(turn), y + reach * np.sin(turn), 0.010, 0.010), 1.8)
    _develop(canvas, beam, 0.4)
