"""What a replica answers: encoder, hash heads and a snapshot behind one object. No HTTP here, no Ray.

The model comes from the snapshot, so that queries and stored codes are always of the same model.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from mcmfh.archive.fetching import fetch
from mcmfh.archive.images import DecodeError, Limits, decode_image
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.search.batching import Logits, content_logits
from mcmfh.search.facets import public_facet
from mcmfh.search.opening import open_snapshot
from mcmfh.search.precision import estimated_precision
from mcmfh.search.query import FOCUS, Query
from mcmfh.search.ranking import Ask, focused, ranked
from mcmfh.search.receipts import hex_codes, receipt
from mcmfh.search.source import LocalSource, Source
from mcmfh.search.view import EVERYTHING, View
from mcmfh.snapshots.document import bundle_address
from mcmfh.store.layout import store_of
from mcmfh.store.relative import address

EXCERPT = 400  # characters
THUMBNAIL = 256  # pixels
SCOPES = 256  # of callers, of which what they may see is kept
QUICK_HITS = 100
QUICK_BITS = 22  # up to this length the index looks up buckets instead of comparing all codes


QueryLogits = dict[str, Logits]  # modality, or focus → K → float32[K]
OpenSource = Callable[[str, int | None], Source]  # archive root, number or None for the newest


def open_local(root: str, number: int | None) -> Source:
    """The snapshot, mapped in this process."""
    return LocalSource(open_snapshot(root, number))


class Retrieval:
    """One snapshot and its model. Immutable: a newer snapshot is another Retrieval, which may share the bundle."""

    def __init__(
        self,
        root: str,
        limits: Limits,
        number: int | None = None,
        device: str = "cpu",
        bundles: Sequence[Bundle] = (),
        open_source: OpenSource = open_local,
        archive: str | None = None,
    ):
        """Open snapshot `number` (default: the newest).

        bundles: models that are loaded already; where the snapshot's own is among them, or one with its encoder, it is
        not loaded again. archive: its name, which answers and their links state where an endpoint serves several.

        Raises InputError where the snapshot was hashed with another model than its bundle now holds.
        """
        self.limits = limits
        self.named = {"archive": archive} if archive else {}
        self.snapshot = open_source(root, number)
        document = self.snapshot.document
        self.store, self.bundle_uri = store_of(root), bundle_address(root, document)
        bundle = next((each for each in bundles if each.bundle_digest == document.bundle_digest), None)
        if bundle is None:
            bundle = load_bundle(self.bundle_uri, device=device)
            bundle.share_encoder(bundles)
        if bundle.code_digest != document.code_digest:
            raise InputError(
                f"the bundle of snapshot {self.snapshot.number} is not the one it was hashed with; restore the bundle"
            )
        self.bundle = bundle
        self.device = device
        self._versions = lru_cache(SCOPES)(self._version)
        self._counts = lru_cache(SCOPES)(self._count)

    @cached_property
    def version(self) -> dict[str, Any]:
        """The answer to /v1/version: snapshot, model and filters."""
        return self._version("{}")

    def version_of(self, view: View) -> dict[str, Any]:
        """`version`, of the items in `view` alone."""
        return self._versions(view.key) if view.scope else self.version

    def count(self, view: View) -> int:
        """The number of items in `view`. Raises InputError where its scope does not fit the archive."""
        return self._counts(view.key) if view.scope else self.snapshot.document.items

    def _count(self, scope_json: str) -> int:
        return self.snapshot.count(json.loads(scope_json))

    def _version(self, scope_json: str) -> dict[str, Any]:
        document, scope = self.snapshot.document, json.loads(scope_json)
        return {
            **self.named,
            "snapshot": self.snapshot.number,
            "snapshot_digest": self.snapshot.digest,
            "bundle_digest": document.bundle_digest,
            "code_digest": document.code_digest,
            "encoder": self.bundle.encoder,
            "device": self.device,
            "device_of_codes": self.bundle.encoder_identity["device"],
            "bits": list(document.bits),
            "items": self.snapshot.count(scope) if scope else document.items,
            "filters": {name: public_facet(facet) for name, facet in self.snapshot.facets(scope).items()},
        }

    def query_logits(self, query: Query) -> QueryLogits:
        """The logits of the query's report, image and focus; {} for a query that is a code. Raises DecodeError."""
        if query.code:
            return {}
        self.query_bits(query)
        logits: QueryLogits = {}
        for name, (modality, content) in query.contents.items():
            seen: Any = content
            if isinstance(content, bytes):
                seen = self.bundle.checked_encoder().spec.preprocessing(decode_image(content, self.limits))
            logits[name] = content_logits(self.bundle, modality, [seen])[0]
        return logits

    def query_codes(self, query: Query, logits: QueryLogits) -> dict[str, np.ndarray]:
        """modality → uint8[bits/8]: the signs of the query's logits, or the code that the query is."""
        if query.code:
            return self._given_code(query)
        bits = self.query_bits(query)
        return {modality: pack_codes(logits[modality][bits][None])[0] for modality in query.modalities}

    def _given_code(self, query: Query) -> dict[str, np.ndarray]:
        """The code that a query is. Raises InputError where its length is not the one to search in."""
        (modality,), bits = query.modalities, self.query_bits(query)
        code = np.frombuffer(bytes.fromhex(str(query.code)), np.uint8)
        if len(code) * 8 != bits:
            raise InputError(f"the code has {len(code) * 8} bits, the archive {bits}; ask /v1/hash for another")
        return {modality: code}

    def query_bits(self, query: Query) -> int:
        """The code length to search in: the query's, or the shortest. Raises InputError where the archive lacks it."""
        return min(self.code_lengths) if query.bits is None else self._checked_bits(query.bits)

    def _checked_bits(self, bits: int) -> int:
        """`bits`. Raises InputError where the archive has no codes of that length."""
        if bits not in self.code_lengths:
            lengths = ", ".join(map(str, self.code_lengths))
            raise InputError(f"the archive has no {bits}-bit codes; it has {lengths}")
        return bits

    def rerank_bits(self, query: Query) -> int | None:
        """The code length to re-rank by: the query's; with a focus the longest, unless the query names one; or None."""
        if query.rerank is None:
            return max(self.code_lengths) if query.focus else None
        return self._checked_bits(query.rerank)

    @property
    def code_lengths(self) -> tuple[int, ...]:
        """The code lengths that the archive has."""
        return self.snapshot.document.bits

    def is_quick(self, query: Query, view: View = EVERYTHING) -> bool:
        """Whether `answer`, given the logits, takes microseconds: less than passing the call to another thread."""
        quick = (
            isinstance(self.snapshot, LocalSource) and query.k <= QUICK_HITS and self.query_bits(query) <= QUICK_BITS
        )
        reranked = query.rerank or query.focus
        slow = query.where or view.scope or query.histogram or reranked or (query.image and query.report)
        return quick and not slow

    def answer(self, query: Query, logits: QueryLogits | None = None, view: View = EVERYTHING) -> dict[str, Any]:
        """The answer to /v1/search. `logits` are the query's; by default they are computed here."""
        logits = self.query_logits(query) if logits is None else logits
        ask = self._ask(query, logits, view)
        hits, scores = ranked(self.snapshot, ask)
        items = self.snapshot.items(hits.rows.tolist())
        meaning, precision = estimated_precision(self.bundle.calibration, ask.bits, tuple(ask.codes), ask.target)
        filters = self.snapshot.document.filters
        distances = hits.distances.tolist()
        named = [(item["item_id"], *numbers) for item, *numbers in zip(items, distances, scores)]
        shown = [public_item(item, filters, view, self.named.get("archive")) for item in items]
        return {
            **self.named,
            "snapshot": self.snapshot.number,
            "target": ask.target,
            "bits": ask.bits,
            "code": hex_codes(ask.codes),
            "precision_of": meaning,
            "hits": [
                {"distance": distance, "precision": precision(distance), "score": score, **item}
                for distance, score, item in zip(distances, scores, shown)
            ],
            "histogram": self.snapshot.histogram(ask.code_query).tolist() if query.histogram else None,
            "receipt": receipt(self.snapshot, ask, named, self.named),
        }

    def _ask(self, query: Query, logits: QueryLogits, view: View) -> Ask:
        """What `query` asks of the snapshot. Raises InputError where the archive lacks codes of a length."""
        rerank = self.rerank_bits(query)
        return Ask(
            codes=self.query_codes(query, logits),
            k=query.k,
            target=query.wanted,
            bits=self.query_bits(query),
            max_distance=query.max_distance,
            where=query.where,
            rerank=rerank,
            logits={} if rerank is None else _ranking_logits(logits, rerank),
            scope=view.scope,
        )

    def item(self, item_id: str, view: View = EVERYTHING) -> dict[str, Any] | None:
        """The public form of an item in `view`, or None."""
        item = self.snapshot.item(item_id, view.scope)
        if item is None:
            return None
        return public_item(item, self.snapshot.document.filters, view, self.named.get("archive"))

    def thumbnail(self, item_id: str, view: View = EVERYTHING) -> bytes | None:
        """A JPEG of at most THUMBNAIL pixels a side; None where no such item is in `view`, or no readable picture."""
        item = self.snapshot.item(item_id, view.scope) if view.content else None
        if item is None or item["image_uri"] is None:
            return None
        try:
            uri = address(self.store, item["image_uri"])
            return thumbnail(decode_image(fetch(uri, "image", self.limits), self.limits))
        except DecodeError:  # the archive's file was moved or changed after hashing
            return None


def _ranking_logits(logits: QueryLogits, bits: int) -> dict[str, np.ndarray]:
    """Name → float32[bits]: what to re-rank by."""
    of_query = {name: of_k[bits] for name, of_k in logits.items() if name != FOCUS}
    return focused(of_query, logits[FOCUS][bits]) if FOCUS in logits else of_query


def thumbnail(image: np.ndarray, side: int = THUMBNAIL) -> bytes:
    """A picture from `decode_image` as JPEG bytes, at most `side` pixels a side."""
    small = Image.fromarray(image).convert("RGB")
    small.thumbnail((side, side))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=85)
    return sink.getvalue()


def public_item(
    item: Mapping[str, Any], filters: Sequence[str], view: View = EVERYTHING, archive: str | None = None
) -> dict[str, Any]:
    """The public form of an item: without its URIs, and with an excerpt instead of the report.

    archive: its archive's name, for the link to its picture; None where there is one archive.
    """
    report = item["report"] if view.content else None
    picture = f"{item_path(item['item_id'])}/image" + (f"?archive={archive}" if archive else "")
    return {
        "item_id": item["item_id"],
        "study_id": item["study_id"],
        "labels": item["labels"],
        "date": item["date"],
        "where": {name: item[name] for name in filters},
        "report": None if report is None else report[:EXCERPT] + ("…" if len(report) > EXCERPT else ""),
        "image": picture if item["image_uri"] and view.content else None,
    }


def item_path(item_id: str) -> str:
    """The path of an item on the endpoint.

    Clients resolve "." and "..", percent-encoded or not, unless a character follows them: hence the semicolon.
    """
    return f"/v1/items/{quote(item_id, safe='')}{';' if item_id in ('.', '..') else ''}"
