"""ROCO: figures of the open medical literature and their captions (Pelka et al. 2018).

https://github.com/razorx89/roco-dataset after scripts/fetch.py: `data/<split>/<kind>/` with captions, cuis, keywords,
dlinks, licences (their names may go on, as in cuis_tp_val_revised.txt) and `images/`. Labels are the UMLS concepts
that 50 to 400 training items carry: the semantic types make most random pairs "relevant".
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
    """One row a caption, with its picture where that was fetched; `keywords` and `licence` are columns to filter on.

    `kind`: "radiology" | "non-radiology". A group is an article, and items are split by it; `official_split` keeps the
    dataset's own split, which puts figures of one article on two sides. Raises InputError when there are no captions.
    """
    root = files.absolute(folder)
    parts = [
        (split, place)
        for split in _SPLITS
        for place in (files.join(root, "data", split, kind), files.join(root, split, kind))
        if _find(place, "captions")
    ]
    if not parts:
        raise InputError(f"no captions in '{folder}/data/*/{kind}'; give the folder of the roco-dataset repository")
    rows = [row for split, place in parts for row in _rows(place, split if official_split else None)]
    return keep_labels(manifest_table(rows, ["keywords", "licence"]), LEAST_LABELLED, MOST_LABELLED)


def _rows(place: str, split: str | None) -> list[Row]:
    images = images_below(files.join(place, "images"))
    captions, concepts, keywords, links, licences = (
        _read(place, name) for name in ("captions", "cuis", "keywords", "dlinks", "licences")
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


def _find(place: str, name: str) -> str | None:
    """The file of that name in a folder: captions.txt, or captions_tp_val_revised.txt."""
    found = [file for file in files.names(place) if re.fullmatch(rf"{name}(_\w+)?\.txt", file)]
    return files.join(place, found[0]) if found else None


def _read(place: str, name: str) -> dict[str, list[str]]:
    """First field of each tab-separated line → the others; {} without the file. Some files begin with a header."""
    uri = _find(place, name)
    lines = files.read(uri).decode().split("\n") if uri else []
    return {item.strip(): fields for item, *fields in (line.split("\t") for line in lines) if _ITEM.match(item)}


def _article(link: list[str]) -> str | None:
    found = re.search(r"PMC\d+", " ".join(link))
    return found[0] if found else None
