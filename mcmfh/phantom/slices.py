"""Draws CT (in Hounsfield units) and MR slices. Head CT and brain MR share one anatomy and differ in brightness."""

from dataclasses import dataclass

import numpy as np

from mcmfh.phantom.anatomy import Canvas, Finding, Mask, noise, soften


@dataclass(frozen=True)
class _Tissue:
    """Pixel value of each tissue of the head, and the noise's standard deviation (`grain`)."""

    air: float
    scalp: float
    bone: float
    fluid: float
    grey: float
    white: float
    falx: float
    grain: float


_CT = _Tissue(air=-1000, scalp=25, bone=1100, fluid=6, grey=40, white=29, falx=52, grain=4)
_FLAIR = _Tissue(air=0, scalp=900, bone=60, fluid=90, grey=560, white=430, falx=250, grain=22)
_T2 = _Tissue(air=0, scalp=650, bone=40, fluid=1050, grey=560, white=360, falx=250, grain=22)


def head_ct(canvas: Canvas, findings: list[Finding]) -> None:
    """Axial slice, no contrast. Findings: haemorrhage, subdural, infarct, hydrocephalus."""
    inside = _head(canvas, _CT, findings)
    for finding in findings:
        side = finding.sign
        if finding.name == "haemorrhage":
            for x, y in _centres(canvas, finding, side):
                blob = _blob(canvas, x, y, 0.15 * finding.scale, 0.12 * finding.scale)
                canvas.paint(_blob(canvas, x, y, 0.21 * finding.scale, 0.18 * finding.scale), 20, 0.7)
                canvas.paint(blob, 72)
        elif finding.name == "subdural":
            depth = 0.07 * finding.scale
            shifted = canvas.everywhere(canvas.ellipse(-depth * side, 0, 0.60, 0.80 - depth * 0.3, edge=0.02))
            crescent = inside * (1 - shifted) * np.clip(canvas.x * side / 0.12, 0, 1)
            canvas.pixels += (66 - canvas.pixels) * crescent
        elif finding.name == "infarct":
            canvas.paint(_territory(canvas, side, finding, inside), 17, 0.95)
    canvas.pixels += _CT.grain * canvas.grain()
    _couch(canvas, 0.985)


def brain_mr(canvas: Canvas, findings: list[Finding]) -> None:
    """Axial slice, FLAIR or T2 weighted. Findings: tumour, white_matter_lesions, infarct, hydrocephalus."""
    tissue = _FLAIR if canvas.rng.random() < 0.7 else _T2
    inside = _head(canvas, tissue, findings)
    for finding in findings:
        side = finding.sign
        if finding.name == "tumour":
            for x, y in _centres(canvas, finding, side):
                size = 0.16 * finding.scale
                canvas.paint(_blob(canvas, x, y, size * 1.6, size * 1.5), 850, 0.55)
                canvas.paint(_blob(canvas, x, y, size, size), 1250)
                canvas.paint(_blob(canvas, x, y, size * 0.55, size * 0.5), 320)
        elif finding.name == "white_matter_lesions":
            for _ in range(9 if finding.size == "small" else 18):
                x, y = canvas.rng.choice([-1, 1]) * canvas.rng.uniform(0.16, 0.36), canvas.rng.uniform(-0.45, 0.45)
                radius = canvas.rng.uniform(0.018, 0.035) * finding.scale
                canvas.paint(canvas.ellipse(x, y, radius * 1.5, radius, canvas.rng.uniform(0, 3)), 1200)
        elif finding.name == "infarct":
            canvas.paint(_territory(canvas, side, finding, inside), 1150, 0.9)
    canvas.pixels = np.maximum(canvas.pixels + tissue.grain * canvas.grain(), 0)


def _head(canvas: Canvas, tissue: _Tissue, findings: list[Finding]) -> np.ndarray:
    """Draw scalp, skull, brain with furrows, ventricles and falx. Returns the skull's inside, float32[size, size]."""
    canvas.pixels[:] = tissue.air
    canvas.paint(canvas.ellipse(0, 0, 0.74, 0.93, edge=0.02), tissue.scalp)
    canvas.paint(canvas.ellipse(0, 0, 0.68, 0.88, edge=0.02), tissue.bone)
    skull = canvas.ellipse(0, 0, 0.62, 0.82, edge=0.02)
    canvas.paint(skull, tissue.fluid)
    brain = canvas.ellipse(0, 0, 0.60, 0.80, edge=0.02)
    canvas.paint(brain, tissue.grey)
    folds = noise(canvas.size, 17, canvas.rng)
    depth = np.hypot(canvas.x / 0.60, canvas.y / 0.80)
    white = np.clip((0.80 + 0.13 * folds - depth) / 0.06, 0, 1)
    canvas.pixels += (tissue.white - tissue.grey) * white * canvas.everywhere(brain)
    furrows = np.clip(1 - np.abs(noise(canvas.size, 13, canvas.rng)) / 0.16, 0, 1) * np.clip((depth - 0.72) / 0.1, 0, 1)
    canvas.paint(brain * furrows, tissue.fluid, 0.75)
    for side in (-1, 1):
        for x, y, rx, ry in ((0.20, -0.08, 0.075, 0.17), (0.17, 0.13, 0.085, 0.11)):
            canvas.paint(canvas.ellipse(x * side, y, rx, ry, 0.25 * side, edge=0.04), tissue.grey)
    _ventricles(canvas, tissue, next((finding for finding in findings if finding.name == "hydrocephalus"), None))
    for start, end in ((-0.82, -0.42), (0.45, 0.82)):
        canvas.paint(canvas.tube([(0, start), (0, end)], 0.008, edge=0.012), tissue.falx)
    return canvas.everywhere(skull)


def _ventricles(canvas: Canvas, tissue: _Tissue, wide: Finding | None) -> None:
    width = {"": 1.0, "small": 2.0, "large": 2.9}[(wide.size or "large") if wide else ""]
    for side in (-1, 1):
        front = [(0.05 * side, -0.08), (0.06 * side * (1 + width) / 2, -0.26), (0.12 * side * (1 + width) / 2, -0.36)]
        back = [(0.06 * side, -0.06), (0.12 * side, 0.14), (0.20 * side, 0.34)]
        canvas.paint(canvas.tube(front, [0.022 * width, 0.030 * width, 0.014 * width]), tissue.fluid)
        canvas.paint(canvas.tube(back, [0.018 * width, 0.026 * width, 0.040 * width]), tissue.fluid)
    canvas.paint(canvas.tube([(0, -0.02), (0, 0.12)], 0.012 * width), tissue.fluid)


def _couch(canvas: Canvas, depth: float) -> None:
    """Draw the scanner's table, in plain coordinates because the patient's warp does not bend it."""
    line = np.abs(canvas.v - depth + 0.12 * canvas.u**2) < 0.012
    canvas.pixels[line & (np.abs(canvas.u) < 0.85) & (canvas.pixels < -500)] = 70


def _centres(canvas: Canvas, finding: Finding, side: int) -> list[tuple[float, float]]:
    """Centres of a finding's one or three spots in the hemisphere of `side`."""
    if finding.count == 1:
        return [(side * canvas.rng.uniform(0.22, 0.34), canvas.rng.uniform(-0.35, 0.35))]
    return canvas.spots(3, canvas.ellipse(0.28 * side, 0, 0.17, 0.5), 0.16)


def _blob(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> Mask:
    """An ellipse with a lumpy outline."""
    whole = canvas.ellipse(x, y, rx * 1.25, ry * 1.25, edge=max(rx, ry) * 1.2)
    lumps = whole.values + 0.16 * noise(canvas.size, 9, canvas.rng)[whole.box]
    return Mask(whole.box, np.clip((lumps - 0.45) / 0.12, 0, 1))


def _territory(canvas: Canvas, side: int, finding: Finding, inside: np.ndarray) -> Mask:
    """A wedge that opens towards the skull, like the territory of the middle cerebral artery."""
    reach = 0.22 * finding.scale
    wedge = canvas.polygon(
        [(0.20 * side, 0.0), (0.75 * side, -reach * 1.5), (0.75 * side, reach * 1.5)][::side], edge=0.06
    )
    return wedge * inside * np.clip(0.9 + 0.2 * noise(canvas.size, 10, canvas.rng), 0, 1)


def abdomen_ct(canvas: Canvas, findings: list[Finding]) -> None:
    """Axial slice with contrast. Findings: liver_lesion, cyst (of a kidney), stone (in a kidney), aneurysm, ascites."""
    named = {finding.name: finding for finding in findings}
    rng = canvas.rng
    canvas.pixels[:] = -1000
    canvas.paint(canvas.ellipse(0, 0, 0.93, 0.70, edge=0.02), -105)
    canvas.paint(canvas.ellipse(0, 0.0, 0.84, 0.61, edge=0.02), 55)
    cavity = canvas.ellipse(0, -0.02, 0.78, 0.54, edge=0.02)
    canvas.paint(cavity, 8 if "ascites" in named else -95)
    for x, y in ((-0.25, 0.42), (0.25, 0.42)):
        canvas.paint(canvas.ellipse(x, y, 0.17, 0.13, edge=0.03), 60)
    canvas.paint(canvas.tube([(0, 0.44), (0, 0.60)], 0.035), 350)
    canvas.paint(canvas.ellipse(0, 0.31, 0.15, 0.125, edge=0.02), 480)
    canvas.paint(canvas.ellipse(0, 0.30, 0.12, 0.10, edge=0.02), 220)
    canvas.paint(canvas.ellipse(0, 0.45, 0.045, 0.035, edge=0.02), 20)
    for angle in np.linspace(0.15, np.pi - 0.15, 7):
        for side in (-1, 1):
            centre = side * 0.82 * np.sin(angle), -0.60 * np.cos(angle)
            canvas.paint(
                canvas.ellipse(*centre, 0.05, 0.02, np.arctan2(0.6 * np.sin(angle) * side, 0.82 * np.cos(angle))), 420
            )
    bowel = np.clip((noise(canvas.size, 13, rng) - 0.1) / 0.4, 0, 1)
    canvas.paint(canvas.ellipse(0.12, -0.16, 0.42, 0.26, edge=0.05) * bowel, 45)
    canvas.paint(canvas.ellipse(0.40, -0.30, 0.24, 0.15, 0.3, edge=0.02), 40)
    canvas.paint(canvas.ellipse(0.40, -0.36, 0.16, 0.07, 0.1, edge=0.02), -900)
    liver = canvas.union(
        canvas.ellipse(-0.42, -0.10, 0.36, 0.36, 0.3, edge=0.02),
        canvas.ellipse(-0.12, -0.28, 0.30, 0.15, 0.15, edge=0.02),
    )
    shrink = 0.9 if "ascites" in named else 1.0
    if shrink < 1:
        liver = canvas.ellipse(-0.38, -0.10, 0.30, 0.30, 0.3, edge=0.02)
    canvas.paint(liver, 108 + 5 * noise(canvas.size, 20, rng))
    for x, y, turn in ((-0.42, -0.02, 0.6), (-0.34, -0.16, -0.5), (-0.56, -0.12, 0.2)):
        canvas.paint(canvas.ellipse(x, y, 0.11, 0.018, turn, edge=0.02), 150)
    canvas.paint(canvas.ellipse(0.62, 0.02, 0.13 * shrink, 0.22 * shrink, -0.35, edge=0.02), 122)
    aorta = 0.062 * (2.0 * named["aneurysm"].scale if "aneurysm" in named else 1)
    canvas.paint(canvas.ellipse(-0.13, 0.13, 0.065, 0.05, edge=0.02), 150)
    canvas.paint(canvas.ellipse(0.06, 0.16 - (aorta - 0.062), aorta, aorta, edge=0.02), 70 if aorta > 0.1 else 230)
    canvas.paint(canvas.ellipse(0.06, 0.16 - (aorta - 0.062), min(aorta, 0.09), min(aorta, 0.08), edge=0.02), 230)
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(0.43 * side, 0.26, 0.135, 0.175, 0.35 * side, edge=0.02), 185)
        canvas.paint(canvas.ellipse(0.37 * side, 0.24, 0.055, 0.06, edge=0.03), 30)
    for finding in findings:
        if finding.name == "liver_lesion":
            radius = 0.07 * finding.scale
            for x, y in canvas.spots(finding.count, canvas.ellipse(-0.42, -0.10, 0.24, 0.22), 0.11):
                canvas.paint(canvas.ellipse(x, y, radius * 1.15, radius, edge=0.03), 48)
        elif finding.name == "cyst":
            size = 0.09 * finding.scale
            for x, y in [(0.50, 0.20), (0.42, 0.36), (0.36, 0.14)][: min(finding.count, 3)]:
                canvas.paint(canvas.ellipse(x * finding.sign, y, size, size, edge=0.015), 4)
        elif finding.name == "stone":
            pelvis = canvas.ellipse(0.36 * finding.sign, 0.24, 0.10, 0.09, edge=0.03)
            canvas.paint(pelvis, 8)
            for step in range(min(finding.count, 3)):
                centre = (0.37 + 0.06 * step) * finding.sign, 0.25 - 0.06 * step
                canvas.paint(canvas.ellipse(*centre, 0.032 * finding.scale, 0.028 * finding.scale, edge=0.012), 1000)
    canvas.pixels += 9 * canvas.grain()
    _couch(canvas, 0.84)


def knee_mr(canvas: Canvas, findings: list[Finding]) -> None:
    """Sagittal slice, proton density with fat suppression: fluid is bright. Findings: joint_effusion, bone_bruise,
    ligament_tear, bakers_cyst."""
    named = {finding.name: finding for finding in findings}
    rng = canvas.rng
    canvas.paint(canvas.tube([(-0.05, -1.3), (0, 0), (0.05, 1.3)], [0.72, 0.74, 0.60], edge=0.05), 210)
    canvas.paint(canvas.tube([(-0.05, -1.3), (0, 0), (0.05, 1.3)], [0.68, 0.70, 0.56], edge=0.04), 150)
    fibres = 300 + 60 * soften(rng.standard_normal(canvas.pixels.shape, dtype=np.float32), 2)
    canvas.paint(canvas.tube([(0.42, -1.3), (0.50, -0.45), (0.46, -0.15)], [0.20, 0.16, 0.05], edge=0.04), fibres)
    canvas.paint(canvas.tube([(0.44, 0.20), (0.46, 0.6), (0.44, 1.3)], [0.06, 0.17, 0.18], edge=0.04), fibres)
    canvas.paint(canvas.tube([(-0.52, -1.3), (-0.50, -0.75)], [0.17, 0.07], edge=0.04), fibres)
    marrow = 230 + 18 * noise(canvas.size, 22, rng)
    femur = canvas.union(
        canvas.tube([(0, -1.3), (0.02, -0.55)], [0.22, 0.24]), canvas.ellipse(0.06, -0.26, 0.36, 0.29, edge=0.02)
    )
    tibia = canvas.union(
        canvas.ellipse(0.06, 0.27, 0.38, 0.13, edge=0.02, boxy=True),
        canvas.tube([(0.05, 0.36), (0.08, 1.3)], [0.27, 0.20]),
    )
    patella = canvas.ellipse(-0.52, -0.36, 0.09, 0.19, 0.12, edge=0.02)
    for bone in (femur, tibia, patella):
        canvas.paint(bone, marrow)
        canvas.paint(Mask(bone.box, bone.values * (1 - bone.values) * 4), 30, 0.9)
    canvas.paint(canvas.tube([(-0.27, -0.20), (-0.10, 0.02), (0.10, 0.055), (0.30, 0.01), (0.41, -0.18)], 0.022), 620)
    canvas.paint(canvas.tube([(-0.26, 0.13), (0.06, 0.115), (0.38, 0.13)], 0.018), 600)
    for tip, base in (((-0.10, 0.085), -0.33), ((0.22, 0.085), 0.43)):
        points = [tip, (base, 0.035), (base, 0.125)]
        canvas.paint(canvas.polygon(points if base > 0 else [tip, (base, 0.125), (base, 0.035)], edge=0.015), 40)
    for tendon in ([(-0.50, -1.0), (-0.56, -0.55)], [(-0.55, -0.17), (-0.42, 0.32)]):
        canvas.paint(canvas.tube(tendon, 0.032), 45)
    band = [(0.22, -0.10), (0.10, 0.06), (-0.08, 0.15)]
    if torn := named.get("ligament_tear"):
        canvas.paint(canvas.ellipse(0.08, 0.05, 0.17 * torn.scale, 0.075 * torn.scale, -0.6, edge=0.08), 900)
        canvas.paint(canvas.tube([(0.24, -0.12), (0.17, -0.03)], 0.03), 60)
    else:
        canvas.paint(canvas.tube(band, 0.032), 50)
    if fluid := named.get("joint_effusion"):
        canvas.paint(
            canvas.tube(
                [(-0.36, -0.45), (-0.42, -0.66), (-0.38, -0.92)],
                [0.045 * fluid.scale, 0.09 * fluid.scale, 0.045],
                edge=0.02,
            ),
            1150,
        )
        canvas.paint(canvas.tube([(-0.38, -0.2), (-0.34, 0.0)], 0.035 * fluid.scale), 1100)
    if bruise := named.get("bone_bruise"):
        for x, y in ((-0.02, -0.20), (0.26, 0.30)) if bruise.count > 1 else ((0.22, -0.22),):
            canvas.paint(_blob(canvas, x, y, 0.15 * bruise.scale, 0.13 * bruise.scale), 800, 0.85)
    if cyst := named.get("bakers_cyst"):
        canvas.paint(canvas.ellipse(0.56, -0.02, 0.085 * cyst.scale, 0.20 * cyst.scale, 0.15, edge=0.02), 1180)
    canvas.pixels = np.maximum(canvas.pixels + 24 * canvas.grain(), 0)
