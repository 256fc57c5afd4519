"""Draws radiographs: densities add up along the beam; bone and fluid are bright, air is dark."""

from itertools import pairwise

import numpy as np

from mcmfh.phantom.anatomy import Canvas, Finding, Mask, Point, noise


def chest(canvas: Canvas, findings: list[Finding]) -> None:
    """Postero-anterior view. Findings: nodule, consolidation, pleural_effusion, pneumothorax, cardiomegaly."""
    rng, named = canvas.rng, {finding.name: finding for finding in findings}
    shoulders = [canvas.ellipse(0.60 * side, -0.45, 0.36, 0.34, 0.4 * side, edge=0.08) for side in (-1, 1)]
    canvas.paint(canvas.union(canvas.ellipse(0, 0.5, 0.90, 1.35, edge=0.08, boxy=True), *shoulders), 0.42)
    canvas.paint(canvas.tube([(0, -1.3), (0, -0.8)], 0.22, edge=0.1), 0.46)
    lungs = {side: canvas.tube(_lung(side), [0.13, 0.22, 0.29, 0.31], edge=0.07) for side in (-1, 1)}
    vessels = np.maximum(0, 1 - 2.2 * np.abs(noise(canvas.size, 22, rng))) * 0.10
    for side, lung in lungs.items():
        hilum = np.hypot(canvas.x - 0.16 * side, (canvas.y + 0.08) * 0.8)
        canvas.paint(lung, 0.13 + vessels * np.exp(-2.6 * hilum) * 2.2 + 0.03 * noise(canvas.size, 6, rng))
    _ribs(canvas)
    canvas.paint(canvas.tube([(0, -1.1), (0, -0.5), (0, 0.9)], [0.11, 0.13, 0.16], edge=0.1), 0.60)
    _spine(canvas)
    canvas.add(canvas.tube([(-0.01, -1.05), (-0.01, -0.36)], 0.045, edge=0.04), -0.14)
    canvas.paint(canvas.ellipse(0.12, -0.33, 0.12, 0.13, edge=0.06), 0.62, 0.8)
    _heart(canvas, named.get("cardiomegaly"))
    for side, top in ((-1, 0.50), (1, 0.57)):
        canvas.paint(canvas.ellipse(0.44 * side, top + 0.42, 0.50, 0.42, edge=0.05), 0.70)
    canvas.paint(canvas.ellipse(0, 1.12, 0.9, 0.42, edge=0.12, boxy=True), 0.68)
    canvas.add(canvas.ellipse(0.44, 0.74, 0.13, 0.07, edge=0.06), -0.25)
    for side in (-1, 1):
        canvas.bone(canvas.tube([(0.07 * side, -0.62), (0.35 * side, -0.72), (0.70 * side, -0.70)], 0.035), 0.16, 0.07)
        canvas.add(canvas.tube([(0.66 * side, -0.55), (0.78 * side, 0.05)], [0.13, 0.05], edge=0.1), 0.06)
    for finding in findings:
        if finding.name in _CHEST:
            _CHEST[finding.name](canvas, finding, lungs[finding.sign])
    _marker(canvas)


def _lung(side: int) -> list[Point]:
    return [(0.30 * side, -0.58), (0.37 * side, -0.38), (0.43 * side, 0.0), (0.45 * side, 0.35)]


def _ribs(canvas: Canvas) -> None:
    for number in range(9):
        top = -0.66 + 0.145 * number
        for side in (-1, 1):
            outer = 0.52 + 0.05 * min(number, 5)
            posterior = [
                (0.08 * side, top),
                (0.30 * side, top - 0.05),
                (outer * 0.86 * side, top + 0.06),
                (outer * 1.08 * side, top + 0.20),
            ]
            canvas.bone(canvas.tube(posterior, 0.024, edge=0.025), 0.07, 0.035)
            if number < 6:
                anterior = [(outer * 1.08 * side, top + 0.20), (0.50 * side, top + 0.40), (0.26 * side, top + 0.50)]
                canvas.add(canvas.tube(anterior, 0.026, edge=0.03), 0.045)


def _spine(canvas: Canvas) -> None:
    discs = 0.5 + 0.5 * np.cos(canvas.y * 2 * np.pi / 0.15)
    canvas.add(canvas.ellipse(0, 0, 0.085, 1.6, edge=0.03, boxy=True) * discs, 0.07)


def _heart(canvas: Canvas, enlarged: Finding | None) -> None:
    width = {"": 1.0, "small": 1.35, "large": 1.6}[enlarged.size if enlarged else ""]
    canvas.paint(canvas.ellipse(0.13 * width, 0.33, 0.30 * width, 0.25 * (0.6 + 0.4 * width), 0.42, edge=0.05), 0.67)
    canvas.paint(canvas.ellipse(-0.09 * width, 0.33, 0.15 * width, 0.22, edge=0.05), 0.65)


def _nodule(canvas: Canvas, finding: Finding, lung: Mask) -> None:
    radius = 0.055 * finding.scale * (0.8 if finding.count > 1 else 1)
    for x, y in canvas.spots(finding.count, lung, 0.1):
        canvas.add(canvas.ellipse(x, y, radius, radius * canvas.rng.uniform(0.85, 1.15), edge=0.025), 0.36)


def _consolidation(canvas: Canvas, finding: Finding, lung: Mask) -> None:
    (x, y), *_ = canvas.spots(1, lung, 0)
    patch = canvas.ellipse(x, max(y, -0.2), 0.22 * finding.scale, 0.18 * finding.scale, edge=0.25)
    cloud = np.clip(0.8 + 0.35 * noise(canvas.size, 14, canvas.rng), 0.2, 1.2)
    canvas.paint(patch * canvas.everywhere(lung) * np.minimum(cloud, 1), 0.66)


def _pleural_effusion(canvas: Canvas, finding: Finding, lung: Mask) -> None:
    top = 0.42 if finding.size == "small" else 0.08
    level = top + 0.05 - 0.9 * np.clip(np.abs(canvas.x) - 0.30, 0, 1) ** 2  # the meniscus climbs the chest wall
    cavity = canvas.tube([*_lung(finding.sign), (0.47 * finding.sign, 0.70)], [0.14, 0.23, 0.30, 0.33, 0.33], edge=0.05)
    fluid = np.clip((canvas.y - level) / 0.08, 0, 1) * canvas.everywhere(cavity)
    np.maximum(canvas.pixels, 0.68 * fluid, out=canvas.pixels)


def _pneumothorax(canvas: Canvas, finding: Finding, lung: Mask) -> None:
    side, depth = finding.sign, {"small": 0.12}.get(finding.size, 0.25)
    whole = canvas.everywhere(lung) * (canvas.pixels < 0.5)
    edge = canvas.everywhere(
        canvas.tube(
            [(x - depth * side * 1.1, y + depth * 0.9) for x, y in _lung(side)], [0.12, 0.21, 0.28, 0.30], edge=0.02
        )
    )
    outside = whole * (1 - edge)
    canvas.pixels *= 1 - 0.72 * outside
    canvas.pixels += 0.09 * edge * whole + 0.24 * whole * edge * (1 - edge) * 4


_CHEST = {
    "nodule": _nodule,
    "consolidation": _consolidation,
    "pleural_effusion": _pleural_effusion,
    "pneumothorax": _pneumothorax,
}


def hand(canvas: Canvas, findings: list[Finding]) -> None:
    """Postero-anterior view of one hand. Findings: fracture, osteoarthritis, foreign_body."""
    named = {finding.name: finding for finding in findings}
    flip = findings[0].sign if findings else canvas.rng.choice([-1, 1])
    rays = [_ray(flip, number, canvas.rng) for number in range(5)]
    canvas.add(canvas.ellipse(0, 0.30, 0.40, 0.42, edge=0.1, boxy=True), 0.24)
    canvas.add(canvas.tube([(0, 0.5), (0, 1.3)], 0.27, edge=0.1), 0.20)
    for joints, width in rays:
        canvas.paint(
            canvas.tube(joints, [width * 2.0] + [width * 1.75] * (len(joints) - 2) + [width * 1.4], edge=0.05),
            0.26,
            0.85,
        )
    for row, y in enumerate((0.40, 0.53)):
        for column in range(4):
            x = (column - 1.5) * 0.115 + 0.02 * row
            canvas.bone(canvas.ellipse(x, y, 0.058, 0.058, edge=0.022), 0.30, 0.14)
    canvas.bone(canvas.tube([(-0.11 * flip, 0.68), (-0.12 * flip, 1.3)], [0.125, 0.085]), 0.34, 0.20)
    canvas.bone(canvas.tube([(0.15 * flip, 0.70), (0.15 * flip, 1.3)], [0.07, 0.06]), 0.32, 0.20)
    worn = named.get("osteoarthritis")
    broken = int(canvas.rng.integers(1, 5)) if "fracture" in named else -1
    for number, (joints, width) in enumerate(rays):
        for part, (start, end) in enumerate(pairwise(joints)):
            breaks = named["fracture"] if number == broken and part == 0 else None
            _long_bone(canvas, start, end, width * (1 - 0.10 * part), gap=0.030 if not worn else 0.008, fracture=breaks)
            if worn and part and number:
                canvas.add(canvas.ellipse(*start, width * 1.55, width * 0.65, edge=0.03), 0.24 * worn.scale)
    if piece := named.get("foreign_body"):
        for x, y in canvas.spots(piece.count, canvas.ellipse(0, 0.2, 0.3, 0.3), 0.1):
            turn, length = canvas.rng.uniform(0, 3), 0.07 * piece.scale
            canvas.paint(canvas.ellipse(x, y, length, 0.018, turn, edge=0.01), 1.25)
    _marker(canvas, "R" if flip < 0 else "L")


def _ray(flip: int, number: int, rng: np.random.Generator) -> tuple[list[Point], float]:
    """(joints from the wrist outwards, half the width of the bones) of finger `number`; 0 is the thumb."""
    base = -0.22 + 0.115 * number
    spread = (-0.85, -0.22, -0.02, 0.14, 0.32)[number] + rng.normal(0, 0.02)
    lengths = (
        (0.30, 0.22, 0.17),
        (0.42, 0.27, 0.16, 0.12),
        (0.44, 0.30, 0.18, 0.12),
        (0.40, 0.28, 0.17, 0.12),
        (0.36, 0.21, 0.12, 0.11),
    )
    x, y = flip * base, 0.36 if number else 0.42
    joints = [(x, y)]
    for length in lengths[number]:
        x, y = x + flip * length * np.sin(spread), y - length * np.cos(spread)
        joints.append((x, y))
    return joints, 0.045


def _long_bone(
    canvas: Canvas, start: Point, end: Point, width: float, gap: float, fracture: Finding | None = None
) -> None:
    """Draw a tubular bone, wide at its ends. A fracture adds a dark oblique line and shifts the far part."""
    (ax, ay), (bx, by) = start, end
    length = float(np.hypot(bx - ax, by - ay))
    ux, uy = (bx - ax) / length, (by - ay) / length
    points = [
        (ax + ux * t, ay + uy * t) for t in np.array([gap + width, length * 0.3, length * 0.7, length - gap - width])
    ]
    radii = [width, width * 0.72, width * 0.70, width * 0.92]
    if fracture is None:
        canvas.bone(canvas.tube(points, radii), 0.36, 0.20)
        return
    offset = 0.035 * fracture.scale
    middle = (ax + bx) / 2, (ay + by) / 2
    whole = [([*points[:2], middle], 0.0), ([middle, *points[2:]], offset)]
    for part, shift in whole:
        moved = [(x - uy * shift, y + ux * shift) for x, y in part]
        canvas.bone(canvas.tube(moved, width * 0.8), 0.36, 0.20)
    cut = (ux * 0.5 - uy, uy * 0.5 + ux)
    reach = width * 1.5
    line = [
        (middle[0] - cut[0] * reach, middle[1] - cut[1] * reach),
        (middle[0] + cut[0] * reach, middle[1] + cut[1] * reach),
    ]
    canvas.paint(canvas.tube(line, 0.016 * fracture.scale, edge=0.012), 0.20)


def knee(canvas: Canvas, findings: list[Finding]) -> None:
    """Antero-posterior view of one knee. Findings: fracture, osteoarthritis, joint_replacement."""
    named = {finding.name: finding for finding in findings}
    flip = findings[0].sign if findings else canvas.rng.choice([-1, 1])
    worn, metal = named.get("osteoarthritis"), named.get("joint_replacement")
    canvas.add(canvas.tube([(0, -1.3), (0, 0), (0, 1.3)], [0.66, 0.56, 0.52], edge=0.12), 0.26)
    space = 0.075 if not worn else 0.03
    shaft = canvas.tube([(0, -1.3), (0, -0.60), (0, -0.33)], [0.19, 0.20, 0.29], edge=0.03)
    condyles = [canvas.ellipse(0.20 * side, -0.20, 0.22, 0.20 - (0.02 if worn else 0), edge=0.03) for side in (-1, 1)]
    canvas.bone(canvas.union(shaft, *condyles), 0.30, 0.20)
    top = -0.02 + space
    plateau = canvas.ellipse(0, top + 0.13, 0.43, 0.13, edge=0.03, boxy=True)
    shaft = canvas.tube([(0, top + 0.20), (0, 0.60), (0, 1.3)], [0.33, 0.19, 0.17], edge=0.03)
    canvas.bone(canvas.union(plateau, shaft), 0.29, 0.20)
    canvas.add(plateau, 0.05)
    canvas.bone(
        canvas.tube([(0.40 * flip, 0.32), (0.36 * flip, 0.6), (0.34 * flip, 1.3)], [0.085, 0.055, 0.055], edge=0.025),
        0.24,
        0.16,
    )
    canvas.bone(canvas.ellipse(0.0, -0.36, 0.17, 0.19, edge=0.03), 0.09, 0.08)
    if worn:
        for side in (-1, 1):
            canvas.add(canvas.ellipse(0.45 * side, top + 0.04, 0.07 * worn.scale, 0.035, 0.5 * side, edge=0.03), 0.34)
            canvas.add(canvas.ellipse(0.43 * side, -0.07, 0.05 * worn.scale, 0.04, -0.5 * side, edge=0.03), 0.30)
        canvas.add(canvas.ellipse(-0.22 * flip, top + 0.03, 0.19, 0.045, edge=0.04), 0.26)
        canvas.add(canvas.ellipse(-0.22 * flip, -0.05, 0.17, 0.035, edge=0.04), 0.22)
    if breaks := named.get("fracture"):
        tilt = canvas.rng.uniform(0.15, 0.30)
        line = [(-0.42, 0.42 - tilt), (0, 0.42), (0.42, 0.42 + tilt)]
        canvas.paint(canvas.tube(line, 0.018 * breaks.scale, edge=0.015), 0.26)
        canvas.paint(canvas.tube([(-0.1, 0.40), (-0.12, top + 0.02)], 0.012 * breaks.scale, edge=0.012), 0.28)
    if metal:
        for side in (-1, 1):
            canvas.paint(canvas.ellipse(0.20 * side, -0.17, 0.215, 0.16, edge=0.012), 1.2)
        canvas.paint(canvas.polygon([(-0.42, 0.06), (0.42, 0.06), (0.40, 0.12), (-0.40, 0.12)], edge=0.012), 1.22)
        canvas.paint(canvas.tube([(0, 0.10), (0, 0.48)], [0.10, 0.035], edge=0.012), 1.22)
    _marker(canvas, "R" if flip < 0 else "L")


def pelvis(canvas: Canvas, findings: list[Finding]) -> None:
    """Antero-posterior view. Findings: fracture (of the femoral neck), osteoarthritis (of a hip), joint_replacement."""
    canvas.add(canvas.ellipse(0, 0, 0.99, 1.3, edge=0.12, boxy=True), 0.28)
    canvas.add(
        canvas.ellipse(0, 0.05, 0.35, 0.5, edge=0.3) * np.clip(0.4 + 0.5 * noise(canvas.size, 8, canvas.rng), -0.5, 1),
        0.05,
    )
    for side in (-1, 1):
        wing = canvas.everywhere(canvas.ellipse(0.52 * side, -0.45, 0.36, 0.42, 0.55 * side, edge=0.03))
        wing *= 1 - canvas.everywhere(canvas.ellipse(0.12 * side, -0.02, 0.30, 0.34, edge=0.03))
        canvas.pixels += 0.17 * wing + 0.16 * wing * (1 - wing) * 4
        pubis = canvas.tube([(0.44 * side, 0.0), (0.22 * side, 0.30), (0.05 * side, 0.36)], [0.085, 0.06, 0.065])
        ischium = canvas.tube([(0.42 * side, 0.16), (0.36 * side, 0.52), (0.08 * side, 0.45)], [0.09, 0.08, 0.05])
        canvas.bone(
            canvas.union(pubis, ischium, canvas.tube([(0.34 * side, -0.15), (0.46 * side, 0.02)], [0.06, 0.12])),
            0.20,
            0.12,
        )
    sacrum = canvas.polygon([(-0.26, -0.52), (0.26, -0.52), (0.06, 0.12), (-0.06, 0.12)], edge=0.04)
    canvas.bone(sacrum, 0.18, 0.07)
    for row in range(3):
        for side in (-1, 1):
            canvas.add(canvas.ellipse(0.10 * side, -0.36 + 0.15 * row, 0.03, 0.022, edge=0.02), -0.12)
    canvas.bone(canvas.ellipse(0, -0.72, 0.20, 0.15, edge=0.03, boxy=True), 0.22, 0.10)
    canvas.bone(canvas.ellipse(0, -1.02, 0.20, 0.12, edge=0.03, boxy=True), 0.22, 0.10)
    by_side = {finding.sign: finding for finding in findings}
    for side in (-1, 1):
        _hip(canvas, side, by_side.get(side))
    _marker(canvas)


def _hip(canvas: Canvas, side: int, finding: Finding | None) -> None:
    name = finding.name if finding else ""
    head, neck, shaft = (0.52 * side, 0.10), (0.66 * side, 0.22), (0.74 * side, 0.36)
    femur = canvas.tube([neck, shaft, (0.70 * side, 1.3)], [0.075, 0.13, 0.115])
    if name == "joint_replacement":
        canvas.bone(femur, 0.28, 0.20)
        canvas.paint(canvas.ellipse(head[0], head[1] - 0.01, 0.155, 0.15, edge=0.012), 1.15)
        canvas.paint(
            canvas.tube([head, neck, (0.73 * side, 0.42), (0.71 * side, 0.92)], [0.06, 0.05, 0.07, 0.03], edge=0.012),
            1.25,
        )
        return
    drop = 0.10 if name == "fracture" else 0.0
    moved = canvas.tube(
        [(neck[0], neck[1] - drop), (shaft[0], shaft[1] - drop), (0.70 * side, 1.3)], [0.075, 0.13, 0.115]
    )
    ball = canvas.tube([head, (0.60 * side, 0.17)], [0.135, 0.08])
    for part in (ball, moved) if drop else (canvas.union(ball, moved),):
        canvas.bone(part, 0.28, 0.18)
    if name == "fracture" and finding:
        canvas.paint(canvas.tube([(0.56 * side, 0.30), (0.68 * side, 0.02)], 0.022 * finding.scale, edge=0.015), 0.24)
    if name == "osteoarthritis" and finding:
        canvas.add(
            canvas.tube([(0.40 * side, 0.02), (0.50 * side, -0.05), (0.62 * side, -0.01)], 0.035 * finding.scale), 0.34
        )
        canvas.add(canvas.ellipse(0.66 * side, 0.02, 0.05 * finding.scale, 0.035, edge=0.03), 0.32)
        canvas.paint(canvas.ellipse(0.48 * side, 0.0, 0.022, 0.02, edge=0.015), 0.40)
    else:
        canvas.paint(
            canvas.tube(
                [(0.38 * side, 0.06), (0.44 * side, -0.03), (0.55 * side, -0.055), (0.64 * side, -0.01)],
                0.010,
                edge=0.012,
            ),
            0.50,
        )


def _marker(canvas: Canvas, letter: str = "L") -> None:
    """Draw the radiographer's lead marker "L" or "R"."""
    size, x0, y0 = canvas.size, (0.86 if letter == "L" else 0.08), 0.06
    unit = max(2, size // 90)
    column, row = int(x0 * size), int(y0 * size)
    canvas.pixels[row : row + 7 * unit, column : column + unit] = 1.2
    if letter == "L":
        canvas.pixels[row + 6 * unit : row + 7 * unit, column : column + 4 * unit] = 1.2
        return
    for top in (0, 3):
        canvas.pixels[row + top * unit : row + (top + 1) * unit, column : column + 4 * unit] = 1.2
    canvas.pixels[row : row + 4 * unit, column + 3 * unit : column + 4 * unit] = 1.2
    for step in range(4):
        left = column + (1 + step * 3 // 4) * unit
        canvas.pixels[row + (3 + step) * unit : row + (4 + step) * unit, left : left + unit] = 1.2
