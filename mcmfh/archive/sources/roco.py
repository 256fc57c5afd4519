"""ROCO: figures of the open medical literature and their captions (Pelka et al. 2018).

https://github.com/razorx89/roco-dataset after scripts/fetch.py: `data/<split>/<kind>/` with captions, cuis, keywords,
dlinks, licences (with an optional suffix, as in cuis_tp_val_revised.txt) and `images/`. Labels are the UMLS concepts
that 50 to 400 training items carry; ROCO's semantic types would make most random pairs "relevant".
"""

import re

import pyarrow as pa

from mcmfh.archive.sources.rows import Row, images_below, keep_labels, labels_of, manifest_table
from mcmfh.errors import InputError
from mcmfh.store import files

LEAST_LABELLED, MOST_LABELLED = 50, 400
_SPLITS = ("train", "validation", "test")
_ITEM = re.compile(r"ROCO_\d+")


def roco(folder: str, kind: str = "radiology", official_split: bool = False) -> pa.Table:
    """One row for each caption, with its picture where downloaded; `keywords` and `licence` are filter columns.

    `kind`: "radiology" | "non-radiology". Items are grouped and split by article. `official_split` keeps the dataset's
    own split, which puts figures of one article on two sides. Raises InputError where `folder` has no captions.
    """
    root = files.absolute(folder)
    parts = [
        (split, part)
        for split in _SPLITS
        for part in (files.join(root, "data", split, kind), files.join(root, split, kind))
        if _file_named(part, "captions")
    ]
    if not parts:
        raise InputError(f"no captions in '{folder}/data/*/{kind}'; give the folder of the roco-dataset repository")
    rows = [row for split, part in parts for row in _rows(part, split if official_split else None)]
    return keep_labels(manifest_table(rows, ["keywords", "licence"]), LEAST_LABELLED, MOST_LABELLED)


def _rows(folder: str, split: str | None) -> list[Row]:
    images = images_below(files.join(folder, "images"))
    captions, concepts, keywords, links, licences = (
        _read(folder, name) for name in ("captions", "cuis", "keywords", "dlinks", "licences")
    )
    return [
        {
            "item_id": item,
            "image_uri": images.get(item),
            "report": " ".join(" ".join(caption).split()) or None,
            "group": _article(links.get(item, [])) or item,
            "labels": labels_of(concepts.get(item, [])),
            "split": split,
            "keywords": " ".join(labels_of(keywords.get(item, []))) or None,
            "licence": " ".join(labels_of(licences.get(item, []))) or None,
        }
        for item, caption in captions.items()
    ]


def _file_named(folder: str, name: str) -> str | None:
    """URI of the file `name` in a folder: "captions" matches captions.txt and captions_tp_val_revised.txt."""
    matches = [file for file in files.names(folder) if re.fullmatch(rf"{name}(_\w+)?\.txt", file)]
    return files.join(folder, matches[0]) if matches else None


def _read(folder: str, name: str) -> dict[str, list[str]]:
    """First field of each tab-separated line → the other fields; {} without the file. A header line is skipped."""
    uri = _file_named(folder, name)
    lines = files.read(uri).decode().split("\n") if uri else []
    return {item.strip(): fields for item, *fields in (line.split("\t") for line in lines) if _ITEM.match(item)}


def _article(link: list[str]) -> str | None:
    match = re.search(r"PMC\d+", " ".join(link))
    return match[0] if match else None
