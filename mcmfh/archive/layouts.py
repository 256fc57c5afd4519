"""Which report belongs to which pictures, and which pictures are of one study and one patient, by headers and by paths.

A report is joined by the first of these rules that leads to one study:

1. headers: the StudyInstanceUID or accession number in the report, or in its file name, is that of pictures;
2. stem: `x.png` and `x.txt` in one folder;
3. folder: the report is named after a folder of pictures, beside it or in it, or, if one folder only has that name,
   anywhere (MIMIC-CXR: `p10/p10000032/s50414267.txt`, `p10/p10000032/s50414267/<image>.jpg`);
4. prefix: `x.txt` and `x_front.png`, `x-2.png`, … in one folder;
5. parallel trees: `images/a/x.png` and `reports/a/x.txt`, equal but for folders called images, reports, files, …;
6. stem anywhere: pictures of that stem are of one study, and no other report has it;
7. alone: the report is the only one in its sub-folder, versions that count less aside, and the pictures in it (or, if
   there are none, below it) are of one study or have no headers.

Pictures without headers are one study where a report is named after their folder or lies alone in it, or where the
folder is called so (`study1`, `s500`, `ses-02`, `exam_3`; CheXpert: `patient00001/study1/view1_frontal.jpg`). Their
patient is the next folder above that is called so (`patient00001`, `p10000032`, `sub-01`), else the folder above the
study's if its name has a digit and is no date; else the study stands for itself.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mcmfh.archive.inspection import Inspected

_STUDY = re.compile(
    r"(?:s[-_]?\d+|(?:st|study|exam|examination|acc|accession|visit|ses|session)[-_ ]?\w*\d\w*)\Z", re.I
)
_PATIENT = re.compile(r"(?:p[-_]?\d+|(?:pat|patient|sub|subj|subject|case|pid|mrn)[-_ ]?\w*\d\w*)\Z", re.I)
_NO_PATIENT = re.compile(
    r"(?:(?:19|20)\d\d(?:[-_.]?\d\d){0,2}|(?:part|batch|train|test|val|valid|fold|dis[ck]|cd|vol|series|export|v)[\d\W_].*)\Z",
    re.I,
)
_MOST_VERSIONS = 4
_KINDS = frozenset(
    ("images", "image", "img", "imgs", "pictures", "png", "jpg", "jpeg", "dicom", "dcm", "files", "reports", "report")
) | frozenset(("texts", "text", "txt", "notes", "xml", "json", "html", "pdf", "hl7", "rtf", "findings", "documents"))


@dataclass
class _Pictures:
    """The pictures of an archive, by everything a report may be named after."""

    root: str
    images: Sequence[Inspected]
    study_folders: set[str] = field(default_factory=set)  # whose plain pictures are one study
    prefixes: set[tuple[str, str]] = field(default_factory=set)  # (folder, stem) of reports of several pictures
    by_folder: dict[str, list[Inspected]] = field(default_factory=lambda: defaultdict(list))
    below: dict[str, list[Inspected]] = field(default_factory=lambda: defaultdict(list))  # also of sub-folders
    folders_named: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    stems: set[tuple[str, str]] = field(default_factory=set)  # (folder, stem)

    def __post_init__(self) -> None:
        for image in self.images:
            self.by_folder[image.folder].append(image)
            self.stems.add((image.folder, image.stem))
            for folder in ancestors(image.folder, self.root):
                self.below[folder].append(image)
        for folder in self.below:
            self.folders_named[folder.rpartition("/")[2]].add(folder)

    def study(self, image: Inspected) -> str:
        """What the images of one study have in common."""
        if image.study or image.accession:
            return image.study or image.accession
        for folder in ancestors(image.folder, self.root):
            if folder in self.study_folders or _STUDY.match(folder.rpartition("/")[2]):
                return folder
        for prefix in _prefixes(image.stem):
            if (image.folder, prefix) in self.prefixes:
                return f"{image.folder}/{prefix}"
        return f"{image.folder}/{image.stem}"

    def named_folder(self, report: Inspected) -> str:
        """The folder of pictures that a report is named after; "" where there is none."""
        for folder in (f"{report.folder}/{report.stem}", report.folder):
            if folder in self.below and folder.rpartition("/")[2] == report.stem and folder != self.root:
                return folder
        named = self.folders_named.get(report.stem, set())
        return next(iter(named)) if len(named) == 1 else ""


def join(images: Sequence[Inspected], reports: Sequence[Inspected], root: str) -> dict[str, str]:
    """URI → study, of every picture and report: a UID, an accession number or a path. A report may be its own study."""
    pictures = _Pictures(root, images)
    alone = _alone(reports, root)
    for report in reports:
        if (report.folder, report.stem) in pictures.stems:
            continue
        if folder := pictures.named_folder(report):
            pictures.study_folders.add(folder)
        elif not report.study and not report.accession and report.folder in alone:
            pictures.study_folders.add(report.folder)
        pictures.prefixes.add((report.folder, report.stem))
    study_of = {image.uri: pictures.study(image) for image in images}
    by_name = _studies_by_name(pictures, study_of)
    stems = Counter(report.stem for report in reports)
    for report in reports:
        study_of[report.uri] = next(
            (
                next(iter(each))
                for each in _candidates(report, pictures, study_of, by_name, stems, alone)
                if len(each) == 1
            ),
            report.study or report.accession or f"{report.folder}/{report.stem}",
        )
    return study_of


def _alone(reports: Sequence[Inspected], root: str) -> set[str]:
    """The sub-folders that hold one report, be it in versions of which one counts most."""
    below: dict[str, list[Inspected]] = defaultdict(list)
    for report in reports:
        for folder in ancestors(report.folder, root):
            below[folder].append(report)
    return {
        report.folder
        for report in reports
        if report.folder != root and (len(below[report.folder]) == 1 or _are_versions(below[report.folder]))
    }


def _are_versions(reports: Sequence[Inspected]) -> bool:
    """Whether a few reports, whose headers name nothing, may be one in versions: the status of one is the highest."""
    statuses = sorted((report.status for report in reports), reverse=True)
    unnamed = not any(report.study or report.accession for report in reports)
    return unnamed and len(reports) <= _MOST_VERSIONS and statuses[0] > statuses[1]


def _studies_by_name(pictures: _Pictures, study_of: dict[str, str]) -> dict[str, set[str]]:
    by_name: dict[str, set[str]] = defaultdict(set)
    for image in pictures.images:
        study = study_of[image.uri]
        names = [image.study, image.accession, f"{image.folder}/{image.stem}", f"*/{image.stem}"]
        names.append(_parallel(image, pictures.root))
        names += [f"{image.folder}/{prefix}_" for prefix in _prefixes(image.stem)]
        for name in filter(None, names):
            by_name[name].add(study)
    return by_name


def _candidates(
    report: Inspected,
    pictures: _Pictures,
    study_of: dict[str, str],
    by_name: dict[str, set[str]],
    stems: Counter[str],
    alone: set[str],
) -> Iterator[set[str]]:
    """The studies to which each rule leads, in the order of the rules."""

    def named(name: str) -> set[str]:
        return by_name.get(name, set()) if name else set()

    def of(found: Iterable[Inspected] | None) -> set[str]:
        return {study_of[image.uri] for image in found or ()}

    yield named(report.study)
    yield named(report.accession)
    yield named(report.stem)
    yield named(f"{report.folder}/{report.stem}")
    if folder := pictures.named_folder(report):
        yield of(pictures.below[folder])
    yield named(f"{report.folder}/{report.stem}_")
    yield named(_parallel(report, pictures.root))
    if stems[report.stem] == 1:
        yield named(f"*/{report.stem}")
    if report.folder in alone and not report.study and not report.accession:
        yield of(pictures.by_folder.get(report.folder) or pictures.below.get(report.folder))


def patient_folder(image: Inspected, study: str, root: str) -> str:
    """The folder of a picture's patient; "" where no folder is called so.

    study: what `join` gave for the picture; a path where headers say nothing.
    """
    above = list(ancestors(image.folder, root))
    for folder in above:
        if folder != root and _PATIENT.match(folder.rpartition("/")[2]):
            return folder
    parent = study.rpartition("/")[0]
    name = parent.rpartition("/")[2]
    if study in above and parent in above and parent != root and re.search(r"\d", name) and not _NO_PATIENT.match(name):
        return parent
    return ""


def ancestors(folder: str, root: str) -> Iterator[str]:
    """`folder` and the folders above it, up to and with `root`."""
    while folder.startswith(root) and len(folder) >= len(root):
        yield folder
        if folder == root:
            return
        folder = folder.rpartition("/")[0]


def _prefixes(stem: str) -> Iterator[str]:
    """What stands before a separator in `stem`, the longest first."""
    for place in range(len(stem) - 1, 0, -1):
        if stem[place] in "_-. ":
            yield stem[:place]


def _parallel(file: Inspected, root: str) -> str:
    """The path of a file without ending and without the folders that only say what kind of file lies in them."""
    path = f"{file.folder}/{file.stem}".removeprefix(root).strip("/").split("/")
    kept = [part for part in path[:-1] if part.lower() not in _KINDS]
    return "=" + "/".join([*kept, path[-1]]) if len(kept) < len(path) - 1 else ""
