"""What a replica answers: encoder, hash heads and a snapshot behind one object. No HTTP here, no Ray.

The model comes from the snapshot, so codes and queries can never be of two models.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from mcmfh.archive.images import DecodeError, Limits, decode_image
from mcmfh.errors import InputError
from mcmfh.hamming import rerank_by_logits
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.search.batching import Logits, encoded
from mcmfh.search.facets import offered
from mcmfh.search.nearest import Hits
from mcmfh.search.opening import open_snapshot
from mcmfh.search.precision import estimated_precision
from mcmfh.search.query import Query
from mcmfh.search.source import Local, Question, Source
from mcmfh.snapshots.shards import code_column
from mcmfh.store import files

EXCERPT = 400
THUMBNAIL = 256
SHORTLIST = 400  # hits beside those asked for, from which re-ranking chooses
QUICK_HITS = 100
QUICK_BITS = 22  # the index walks buckets instead of comparing codes


QueryLogits = dict[str, Logits]  # modality → K → float32[K]
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
        if bundle is None or bundle.bundle_digest != document.bundle_digest:
            bundle = load_bundle(document.bundle, device=device)
        if bundle.code_digest != document.code_digest:
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
            "bundle_digest": document.bundle_digest,
            "code_digest": document.code_digest,
            "encoder": self.bundle.encoder,
            "bits": list(document.bits),
            "items": document.items,
            "filters": {name: offered(facet) for name, facet in self.snapshot.facets().items()},
        }

    def logits(self, query: Query) -> QueryLogits:
        """modality → K → float32[K] of a query's report and image; nothing of one that is a code."""
        modalities = query.modalities()
        if query.code:
            return {}
        self.bits(query)
        found: QueryLogits = {}
        for modality in modalities:
            content: Any = query.report
            if modality == "image":
                spec = self.bundle.checked_encoder().spec
                content = spec.preprocessing(decode_image(query.image or b"", self.limits))
            found[modality] = encoded(self.bundle, modality, [content])[0]
        return found

    def codes(self, query: Query, logits: QueryLogits | None = None) -> dict[str, np.ndarray]:
        """modality → uint8[bits/8] of a query, of which `logits` may be known."""
        if query.code:
            return self.given_code(query)
        logits = self.logits(query) if logits is None else logits
        return {modality: pack_codes(of_k[self.bits(query)][None])[0] for modality, of_k in logits.items()}

    def given_code(self, query: Query) -> dict[str, np.ndarray]:
        """The code that a query is. Raises InputError where it has another length than the archive's."""
        (modality,), bits = query.modalities(), self.bits(query)
        code = np.frombuffer(bytes.fromhex(str(query.code)), np.uint8)
        if len(code) * 8 != bits:
            raise InputError(f"the code has {len(code) * 8} bits, the archive {bits}; ask /v1/hash for another")
        return {modality: code}

    def bits(self, query: Query) -> int:
        """The code length to search in. Raises InputError where the archive has none of the wanted length."""
        return min(self.bits_known) if query.bits is None else self.known(query.bits)

    def known(self, bits: int) -> int:
        """`bits`. Raises InputError where the archive has no codes of that length."""
        if bits not in self.bits_known:
            known = ", ".join(map(str, self.bits_known))
            raise InputError(f"the archive has no {bits}-bit codes; it has {known}")
        return bits

    @property
    def bits_known(self) -> tuple[int, ...]:
        """Code lengths that the archive has."""
        return self.snapshot.document.bits

    def is_quick(self, query: Query) -> bool:
        """Whether `search` with codes at hand takes microseconds: shorter than handing it to another thread."""
        quick = isinstance(self.snapshot, Local) and query.k <= QUICK_HITS and self.bits(query) <= QUICK_BITS
        return quick and not (query.where or query.histogram or query.rerank or (query.image and query.report))

    def search(self, query: Query, logits: QueryLogits | None = None) -> dict[str, Any]:
        """The answer to /v1/search; `logits` are the query's, where they are known already."""
        logits = self.logits(query) if logits is None else logits
        codes = self.codes(query, logits)
        bits, target = self.bits(query), query.wanted()
        k = query.k if query.rerank is None else SHORTLIST + query.k
        question = Question(codes, k, target, bits, query.max_distance, query.where)
        hits, scores = self._reranked(self.snapshot.find(question), query, logits)
        shown = self.snapshot.shown(hits.rows.tolist())
        meaning, precision = estimated_precision(self.bundle.calibration, bits, tuple(codes), target)
        filters = self.snapshot.document.filters
        return {
            "snapshot": self.snapshot.number,
            "target": target,
            "bits": bits,
            "code": {modality: code.tobytes().hex() for modality, code in codes.items()},
            "precision_of": meaning,
            "hits": [
                {"distance": distance, "precision": precision(distance), "score": score, **present(item, filters)}
                for distance, score, item in zip(hits.distances.tolist(), scores, shown)
            ],
            "histogram": self.snapshot.counts(question).tolist() if query.histogram else None,
        }

    def _reranked(self, hits: Hits, query: Query, logits: QueryLogits) -> tuple[Hits, Sequence[float | None]]:
        """The k of a shortlist whose stored codes of query.rerank bits agree best with the logits, and how well."""
        if query.rerank is None:
            return hits, [None] * len(hits.rows)
        bits = self.known(query.rerank)
        stored = self.snapshot.codes(hits.rows.tolist(), code_column(query.wanted(), bits))
        column = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, bits // 8)
        wanted = np.stack([of_k[bits] for of_k in logits.values()]).sum(axis=0, keepdims=True)
        scores, places = rerank_by_logits(np.arange(len(column))[None], wanted, column)
        chosen = places[0, : query.k]
        return Hits(hits.rows[chosen], hits.distances[chosen]), scores[0, : query.k].tolist()

    def item(self, item_id: str) -> dict[str, Any] | None:
        """What may be shown of an item, or None."""
        item = self.snapshot.item(item_id)
        return None if item is None else present(item, self.snapshot.document.filters)

    def thumbnail(self, item_id: str) -> bytes | None:
        """A JPEG of at most THUMBNAIL pixels a side, or None where there is no such picture."""
        item = self.snapshot.item(item_id)
        if item is None or item["image_uri"] is None:
            return None
        try:
            return thumbnail(decode_image(files.read(item["image_uri"]), self.limits))
        except (FileNotFoundError, DecodeError):  # the archive's own file was moved or changed since
            return None


def thumbnail(image: np.ndarray, side: int = THUMBNAIL) -> bytes:
    """A picture from `decode_image` as JPEG bytes, at most `side` pixels a side."""
    small = Image.fromarray(image).convert("RGB")
    small.thumbnail((side, side))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=85)
    return sink.getvalue()


def present(item: Mapping[str, Any], filters: Sequence[str]) -> dict[str, Any]:
    """The public form of an item: no address, an excerpt instead of the report."""
    report = item["report"]
    return {
        "item_id": item["item_id"],
        "study_id": item["study_id"],
        "labels": item["labels"],
        "date": item["date"],
        "where": {name: item[name] for name in filters},
        "report": None if report is None else report[:EXCERPT] + ("…" if len(report) > EXCERPT else ""),
        "image": f"{item_path(item['item_id'])}/image" if item["image_uri"] else None,
    }


def item_path(item_id: str) -> str:
    """The address of an item. Clients resolve "." and "..", percent-encoded or not, unless something follows them."""
    return f"/v1/items/{quote(item_id, safe='')}{';' if item_id in ('.', '..') else ''}"
