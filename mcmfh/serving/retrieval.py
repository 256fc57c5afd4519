"""What a replica answers: encoder, hash heads and a memory-mapped snapshot behind one object. No HTTP here, no Ray.

The model comes from the snapshot, so codes and queries can never be of two models.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mcmfh import storage
from mcmfh.archive.images import Limits, decode_image
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.serving.queries import Query
from mcmfh.snapshots.reading import open_snapshot
from mcmfh.snapshots.search import search

EXCERPT = 400
THUMBNAIL = 256


class Retrieval:
    def __init__(self, root: str, limits: Limits, number: int | None = None, device: str = "cpu"):
        self.limits = limits
        self.snapshot = open_snapshot(root, number)
        self.bundle = load_bundle(self.snapshot.document["bundle"], device=device)
        if self.bundle.code_digest != self.snapshot.document["code_digest"]:
            raise InputError(
                f"the bundle of snapshot {self.snapshot.number} is not the one it was hashed with; restore the bundle"
            )

    def version(self) -> dict[str, Any]:
        """Which snapshot and which model answer."""
        document = self.snapshot.document
        return {
            "snapshot": self.snapshot.number,
            "snapshot_digest": self.snapshot.digest,
            "bundle_digest": document["bundle_digest"],
            "code_digest": document["code_digest"],
            "encoder": self.bundle.encoder,
            "bits": document["bits"],
            "items": document["items"],
            "filters": document["filters"],
        }

    def codes(self, query: Query) -> dict[str, np.ndarray]:
        """modality → uint8[bits/8] of a query."""
        bits = self.bits(query)
        modalities = query.modalities()
        if query.code:
            code = np.frombuffer(bytes.fromhex(query.code), np.uint8)
            if len(code) * 8 != bits:
                raise InputError(f"the code has {len(code) * 8} bits, the archive {bits}; ask /v1/hash for another")
            return {modalities[0]: code}
        codes = {}
        if query.image:
            codes["image"] = self.bundle.hash_images([decode_image(query.image, self.limits)], bits=bits)[0]
        if query.report:
            codes["report"] = self.bundle.hash_reports([query.report], bits=bits)[0]
        return codes

    def bits(self, query: Query) -> int:
        return query.bits or min(self.snapshot.bits)

    def search(self, query: Query) -> dict[str, Any]:
        """The answer to /v1/search."""
        codes = self.codes(query)
        bits, target = self.bits(query), query.wanted()
        hits = search(self.snapshot, codes, query.k, target, bits, query.max_distance, query.where)
        shown = self.snapshot.shown(hits.rows.tolist())
        return {
            "snapshot": self.snapshot.number,
            "target": target,
            "bits": bits,
            "code": {modality: code.tobytes().hex() for modality, code in codes.items()},
            "hits": [
                {"distance": int(distance), **present(item, self.snapshot.document["filters"])}
                for distance, item in zip(hits.distances, shown)
            ],
        }

    def item(self, item_id: str) -> dict[str, Any] | None:
        """What may be shown of an item, or None."""
        row = self.snapshot.row(item_id)
        return None if row is None else present(self.snapshot.shown([row])[0], self.snapshot.document["filters"])

    def thumbnail(self, item_id: str) -> bytes | None:
        """A JPEG of at most THUMBNAIL pixels a side, or None where there is no such picture."""
        row = self.snapshot.row(item_id)
        uri = None if row is None else self.snapshot.shown([row])[0]["image_uri"]
        return None if uri is None else thumbnail(decode_image(storage.read(uri), self.limits))


def thumbnail(image: Image.Image, side: int = THUMBNAIL) -> bytes:
    """`image` as JPEG bytes, at most `side` pixels a side."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=85)
    return sink.getvalue()


def present(item: Mapping[str, Any], filters: list[str]) -> dict[str, Any]:
    """The public form of an item: no address, an excerpt instead of the report."""
    report = item["report"]
    return {
        "item_id": item["item_id"],
        "study_id": item["study_id"],
        "labels": item["labels"],
        "date": item["date"],
        "where": {name: item[name] for name in filters},
        "report": None if report is None else report[:EXCERPT] + ("…" if len(report) > EXCERPT else ""),
        "image": f"/v1/items/{item['item_id']}/image" if item["image_uri"] else None,
    }
