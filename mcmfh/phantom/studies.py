"""Draws the phantom's patients and their studies, with exam, findings, date and labels."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcmfh.phantom import radiograph, slices, ultrasound
from mcmfh.phantom.anatomy import Canvas, Finding

FIRST_DAY, DAYS = datetime.date(2016, 1, 4), 365 * 8


@dataclass(frozen=True)
class Kind:
    """A kind of finding. It may have a side (`sided`), a size (`sized`), and occur several times (`many`)."""

    name: str
    sided: bool = False
    sized: bool = True
    many: bool = False


@dataclass(frozen=True)
class Exam:
    """An examination: modality and region as in the manifest, its drawing function, its possible findings, its share
    of all studies (`weight`) and the window (centre, width) of its display."""

    name: str
    modality: str
    region: str
    draw: Callable[[Canvas, list[Finding]], None]
    kinds: tuple[Kind, ...]
    weight: float
    window: tuple[float, float]


EXAMS = (
    Exam(
        "chest radiograph",
        "radiograph",
        "chest",
        radiograph.chest,
        (
            Kind("nodule", sided=True, many=True),
            Kind("consolidation", sided=True),
            Kind("pleural_effusion", sided=True),
            Kind("pneumothorax", sided=True),
            Kind("cardiomegaly"),
        ),
        0.19,
        (0.53, 1.02),
    ),
    Exam(
        "hand radiograph",
        "radiograph",
        "hand",
        radiograph.hand,
        (Kind("fracture", sided=True), Kind("osteoarthritis", sided=True), Kind("foreign_body", sided=True, many=True)),
        0.09,
        (0.55, 1.05),
    ),
    Exam(
        "knee radiograph",
        "radiograph",
        "knee",
        radiograph.knee,
        (
            Kind("fracture", sided=True),
            Kind("osteoarthritis", sided=True),
            Kind("joint_replacement", sided=True, sized=False),
        ),
        0.09,
        (0.55, 1.05),
    ),
    Exam(
        "pelvis radiograph",
        "radiograph",
        "pelvis",
        radiograph.pelvis,
        (
            Kind("fracture", sided=True),
            Kind("osteoarthritis", sided=True),
            Kind("joint_replacement", sided=True, sized=False),
        ),
        0.08,
        (0.52, 1.0),
    ),
    Exam(
        "head CT",
        "CT",
        "head",
        slices.head_ct,
        (
            Kind("haemorrhage", sided=True, many=True),
            Kind("subdural", sided=True),
            Kind("infarct", sided=True),
            Kind("hydrocephalus"),
        ),
        0.11,
        (40, 85),
    ),
    Exam(
        "abdominal CT",
        "CT",
        "abdomen",
        slices.abdomen_ct,
        (
            Kind("liver_lesion", many=True),
            Kind("cyst", sided=True, many=True),
            Kind("stone", sided=True, many=True),
            Kind("aneurysm"),
            Kind("ascites", sized=False),
        ),
        0.10,
        (50, 380),
    ),
    Exam(
        "brain MR",
        "MR",
        "head",
        slices.brain_mr,
        (
            Kind("tumour", sided=True, many=True),
            Kind("white_matter_lesions"),
            Kind("infarct", sided=True),
            Kind("hydrocephalus"),
        ),
        0.08,
        (550, 1200),
    ),
    Exam(
        "knee MR",
        "MR",
        "knee",
        slices.knee_mr,
        (
            Kind("joint_effusion"),
            Kind("bone_bruise", many=True),
            Kind("ligament_tear", sized=False),
            Kind("bakers_cyst"),
        ),
        0.06,
        (450, 950),
    ),
    Exam(
        "abdominal ultrasound",
        "ultrasound",
        "abdomen",
        ultrasound.abdomen,
        (
            Kind("stone", many=True),
            Kind("cyst", many=True),
            Kind("liver_lesion", many=True),
            Kind("steatosis", sized=False),
        ),
        0.08,
        (0.5, 1.0),
    ),
    Exam(
        "obstetric ultrasound",
        "ultrasound",
        "uterus",
        ultrasound.obstetric,
        (Kind("twin_pregnancy", sized=False), Kind("ventriculomegaly"), Kind("oligohydramnios", sized=False)),
        0.06,
        (0.5, 1.0),
    ),
    Exam(
        "thyroid ultrasound",
        "ultrasound",
        "neck",
        ultrasound.thyroid,
        (Kind("nodule", sided=True, many=True), Kind("cyst", sided=True), Kind("goitre")),
        0.06,
        (0.5, 1.0),
    ),
)
# Pairs of findings that would hide or contradict each other; a study has at most one of a pair.
_APART = ({"twin_pregnancy", "ventriculomegaly"}, {"haemorrhage", "subdural"}, {"osteoarthritis", "joint_replacement"})


@dataclass(frozen=True)
class Patient:
    number: int
    name: str
    female: bool
    born: datetime.date
    seed: tuple[int, ...]  # of the patient's anatomy


@dataclass(frozen=True)
class Study:
    """One examination of one patient. `earlier`: date of the study that the report compares with."""

    number: int
    patient: Patient
    exam: Exam
    findings: tuple[Finding, ...]
    date: datetime.date
    earlier: datetime.date | None
    seed: tuple[int, ...]

    @property
    def era(self) -> float:
        """0 on the archive's first day, 1 on its last; image quality and wording change with it."""
        return (self.date - FIRST_DAY).days / DAYS

    @property
    def labels(self) -> list[str]:
        return [f"region:{self.exam.region}", *(f"finding:{finding.name}" for finding in self.findings)]


def sample_studies(count: int, seed: int) -> list[Study]:
    """`count` studies, sorted by patient and date; each patient has 1 to 3."""
    rng = np.random.default_rng([seed, 1])
    studies: list[Study] = []
    while len(studies) < count:
        patient = _patient(len(studies), rng, seed)
        visits = min(int(rng.choice([1, 2, 3], p=[0.55, 0.28, 0.17])), count - len(studies))
        days = np.sort(rng.integers(0, DAYS, 1) + np.concatenate([[0], rng.integers(5, 500, visits - 1)]))
        earlier: Study | None = None
        for day in np.minimum(days, DAYS - 1):
            number = len(studies)
            again = earlier is not None and rng.random() < 0.6
            exam = earlier.exam if again and earlier else _exam(patient, rng)
            findings = earlier.findings if again and earlier and rng.random() < 0.4 else _findings(exam, rng)
            date = FIRST_DAY + datetime.timedelta(days=int(day))
            compared = earlier.date if again and earlier else None
            earlier = Study(number, patient, exam, findings, date, compared, (seed, 3, number))
            studies.append(earlier)
    return studies


def _patient(number: int, rng: np.random.Generator, seed: int) -> Patient:
    born = datetime.date(int(rng.integers(1930, 1998)), int(rng.integers(1, 13)), int(rng.integers(1, 28)))
    return Patient(number, f"P{number:06d}", bool(rng.random() < 0.52), born, (seed, 2, number))


def _exam(patient: Patient, rng: np.random.Generator) -> Exam:
    weights = np.array([0.0 if exam.region == "uterus" and not patient.female else exam.weight for exam in EXAMS])
    return EXAMS[int(rng.choice(len(EXAMS), p=weights / weights.sum()))]


def _findings(exam: Exam, rng: np.random.Generator) -> tuple[Finding, ...]:
    """No finding in 22 % of the studies, one in 60 %, two in 18 %."""
    number = int(rng.choice([0, 1, 2], p=[0.22, 0.60, 0.18]))
    kinds = [exam.kinds[index] for index in rng.permutation(len(exam.kinds))[:number]]
    if any({kind.name for kind in kinds} == pair for pair in _APART):
        kinds = kinds[:1]
    side = str(rng.choice(["left", "right"]))
    findings = []
    for kind in kinds:
        findings.append(
            Finding(
                kind.name,
                side if kind.sided else "",
                str(rng.choice(["small", "large"])) if kind.sized else "",
                "multiple" if kind.many and rng.random() < 0.4 else "single",
            )
        )
        if exam.region == "pelvis":
            side = "left" if side == "right" else "right"
    return tuple(findings)
