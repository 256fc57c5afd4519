"""MIMIC-CXR and MIMIC-CXR-JPG (Johnson et al. 2019), as PhysioNet lays them out, in one folder.

`files/p10/p10000032/s50414267/<dicom_id>.jpg` (or .dcm), `files/p10/p10000032/s50414267.txt`, and the tables
mimic-cxr-2.x.x-split, -metadata and -chexpert (.csv or .csv.gz). Access needs a PhysioNet credential; this repository
holds nothing of the set. Dates are left out, because the set shifts them by a different amount for each patient.
"""

import re

import pyarrow as pa

from mcmfh.archive.sources.rows import Row, manifest_table, read_csv
from mcmfh.errors import InputError
from mcmfh.store import files

_SPLITS = {"train": "train", "validate": "validation", "test": "test"}
_KEYS = ("subject_id", "study_id")


def mimic_cxr(folder: str) -> pa.Table:
    """One row for each image, with its study's report; labels are the findings that CheXpert marked positive (1.0).

    The split is the dataset's own, by patient. `view` (PA, AP, LATERAL …) is a filter column. Rows follow the split
    table: a listed image that is missing on disk becomes a row, which is quarantined for that reason. Raises
    InputError when a table is missing.
    """
    root = files.absolute(folder)
    findings = {
        line["study_id"]: [name for name, value in line.items() if name not in _KEYS and _positive(value)]
        for line in read_csv(_table(root, "chexpert"))
    }
    views = {line["dicom_id"]: line["ViewPosition"] or None for line in read_csv(_table(root, "metadata"))}
    ending = _ending(root)
    rows: list[Row] = []
    for line in read_csv(_table(root, "split")):
        patient, study, image = line["subject_id"], line["study_id"], line["dicom_id"]
        folder_uri = files.join(root, "files", f"p{patient[:2]}", f"p{patient}", f"s{study}")
        rows.append(
            {
                "item_id": image,
                "image_uri": f"{folder_uri}/{image}.{ending}",
                "report_uri": f"{folder_uri}.txt",
                "study_id": f"s{study}",
                "group": f"p{patient}",
                "labels": findings.get(study, []),
                "split": _SPLITS[line["split"]],
                "view": views.get(image),
            }
        )
    return manifest_table(rows, ["view"])


def _positive(value: str | None) -> bool:
    return value is not None and value.strip() in ("1", "1.0")


def _table(root: str, name: str) -> str:
    """The URI, without .gz, of the newest mimic-cxr-<version>-<name>.csv."""
    matches = [re.fullmatch(rf"(mimic-cxr-[\d.]+-{name}\.csv)(\.gz)?", file) for file in files.names(root)]
    tables = sorted(match[1] for match in matches if match)
    if not tables:
        raise InputError(f"'{root}' has no mimic-cxr-…-{name}.csv; put the tables of MIMIC-CXR-JPG beside files/")
    return files.join(root, tables[-1])


def _ending(root: str) -> str:
    """ "jpg" or "dcm": the ending of the first study's pictures."""
    folder = files.join(root, "files")
    while entries := files.names(folder):
        pictures = [name for name in entries if name.endswith((".jpg", ".dcm"))]
        if pictures:
            return pictures[0].rpartition(".")[2]
        folders = [name for name in entries if not name.endswith((".txt", ".html"))]
        if not folders:
            break
        folder = files.join(folder, folders[0])
    return "jpg"
