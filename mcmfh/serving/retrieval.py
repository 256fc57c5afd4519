"""What a replica answers: encoder, hash heads and a snapshot behind one object. No HTTP here, no Ray.

The model comes from the snapshot, so codes and queries can never be of two models.
"""

import io
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from mcmfh import storage
from mcmfh.archive.images import DecodeError, Limits, decode_image
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.serving.facets import offered
from mcmfh.serving.precision import estimated_precision
from mcmfh.serving.queries import Query
from mcmfh.serving.source import Local, Question, Source
from mcmfh.snapshots.reading import open_snapshot

EXCERPT = 400
THUMBNAIL = 256
QUICK_HITS = 100
QUICK_BITS = 22  # the index walks buckets instead of comparing codes


Opened = Callable[[str, int | None], Source]  # archive root, number or None for the newest


def opened_here(root: str, number: int | None) -> Source:
    """The snapshot mapped in this process."""
    return Local(open_snapshot(root, number))


class Retrieval:
    """One snapshot and its model. Never changes: a newer snapshot is another Retrieval, which may share the bundle."""

    def __init__(
        self,
        root: str,
        limits: Limits,
        number: int | None = None,
        device: str = "cpu",
        bundle: Bundle | None = None,
        opened: Opened = opened_here,
    ):
        """Open snapshot `number` (default: the newest). `bundle` is used where it is that snapshot's own."""
        self.limits = limits
        self.snapshot = opened(root, number)
        document = self.snapshot.document
        if bundle is None or bundle.bundle_digest != document["bundle_digest"]:
            bundle = load_bundle(document["bundle"], device=device)
        if bundle.code_digest != document["code_digest"]:
            raise InputError(
                f"the bundle of snapshot {self.snapshot.number} is not the one it was hashed with; restore the bundle"
            )
        self.bundle = bundle

    @cached_property
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
            "filters": {name: offered(facet) for name, facet in self.snapshot.facets().items()},
        }

    def codes(self, query: Query) -> dict[str, np.ndarray]:
        """modality → uint8[bits/8] of a query."""
        if query.code:
            return self.given_code(query)
        query.modalities()
        bits, codes = self.bits(query), {}
        if query.image:
            codes["image"] = self.bundle.hash_images([decode_image(query.image, self.limits)], bits=bits)[0]
        if query.report:
            codes["report"] = self.bundle.hash_reports([query.report], bits=bits)[0]
        return codes

    def given_code(self, query: Query) -> dict[str, np.ndarray]:
        """The code that a query is. Raises InputError where it has another length than the archive's."""
        (modality,), bits = query.modalities(), self.bits(query)
        code = np.frombuffer(bytes.fromhex(str(query.code)), np.uint8)
        if len(code) * 8 != bits:
            raise InputError(f"the code has {len(code) * 8} bits, the archive {bits}; ask /v1/hash for another")
        return {modality: code}

    def bits(self, query: Query) -> int:
        """The code length to search in. Raises InputError where the archive has none of the wanted length."""
        if query.bits is not None and query.bits not in self.bits_known:
            known = ", ".join(map(str, self.bits_known))
            raise InputError(f"the archive has no {query.bits}-bit codes; it has {known}")
        return query.bits or min(self.bits_known)

    @property
    def bits_known(self) -> list[int]:
        """Code lengths that the archive has."""
        return self.snapshot.document["bits"]

    def is_quick(self, query: Query) -> bool:
        """Whether `search` with codes at hand takes microseconds: shorter than handing it to another thread."""
        quick = isinstance(self.snapshot, Local) and query.k <= QUICK_HITS and self.bits(query) <= QUICK_BITS
        return quick and not query.where and not query.histogram and not (query.image and query.report)

    def search(self, query: Query, codes: Mapping[str, np.ndarray] | None = None) -> dict[str, Any]:
        """The answer to /v1/search; `codes` are the query's, where they are known already."""
        codes = self.codes(query) if codes is None else codes
        bits, target = self.bits(query), query.wanted()
        question = Question(codes, query.k, target, bits, query.max_distance, query.where)
        hits = self.snapshot.find(question)
        shown = self.snapshot.shown(hits.rows.tolist())
        meaning, precision = estimated_precision(self.bundle.calibration, bits, tuple(codes), target)
        filters = self.snapshot.document["filters"]
        return {
            "snapshot": self.snapshot.number,
            "target": target,
            "bits": bits,
            "code": {modality: code.tobytes().hex() for modality, code in codes.items()},
            "precision_of": meaning,
            "hits": [
                {"distance": distance, "precision": precision(distance), **present(item, filters)}
                for distance, item in zip(hits.distances.tolist(), shown)
            ],
            "histogram": self.snapshot.counts(question).tolist() if query.histogram else None,
        }

    def item(self, item_id: str) -> dict[str, Any] | None:
        """What may be shown of an item, or None."""
        item = self.snapshot.item(item_id)
        return None if item is None else present(item, self.snapshot.document["filters"])

    def thumbnail(self, item_id: str) -> bytes | None:
        """A JPEG of at most THUMBNAIL pixels a side, or None where there is no such picture."""
        item = self.snapshot.item(item_id)
        if item is None or item["image_uri"] is None:
            return None
        try:
            return thumbnail(decode_image(storage.read(item["image_uri"]), self.limits))
        except (FileNotFoundError, DecodeError):  # the archive's own file was moved or changed since
            return None


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
        "image": f"/v1/items/{quote(item['item_id'], safe='')}/image" if item["image_uri"] else None,
    }
