"""What the endpoint's answers show, recorded in the audit before they are sent (see mcmfh/audit)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from mcmfh import ray_session
from mcmfh.audit.chain import Secret, read_secret
from mcmfh.audit.reading import local_folder
from mcmfh.audit.writer import Writer
from mcmfh.config import Config
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.roles import CALLER
from mcmfh.serving.served import Unavailable
from mcmfh.store import files
from mcmfh.store.layout import archive_root

CLIENT = "x-mcmfh-client"  # the header in which the fence names the client's address
_QUERY = ("code", "k", "target", "bits", "max_distance", "where", "rerank")

Report = Callable[[str, dict[str, Any]], None]


class Auditing:
    """Records of one replica; without `audit.secret_uri` it records nothing. Raises InputError for a bad secret."""

    def __init__(self, config: Config, report: Report):
        settings = config.audit
        # A HAProxy of the user's own, or of a cluster's nodes, lets a client's header through.
        self.fenced = ray_session.fence_file() is not None
        self.required, self.report = settings.required, report
        self.writers: dict[str, Writer] = {}
        if settings.secret_uri is not None:
            self.secret: Secret = read_secret(settings.secret_uri)
            for name in config.served_archives:  # an archive's audit lies beside its snapshots, and is read with it
                root = archive_root(config.store, name)
                folder = local_folder(settings.folder, root)
                self.writers[name] = Writer(root, self.secret, folder, settings.seal_seconds, report)

    @property
    def records(self) -> bool:
        """Whether there is an audit."""
        return bool(self.writers)

    def start(self) -> None:
        for writer in self.writers.values():
            writer.start()

    def stop(self) -> None:
        for writer in self.writers.values():
            writer.stop()

    def answered(self, request: Request, archive: str, answer: Mapping[str, Any]) -> None:
        """Record the answer to a search. Raises Unavailable where that fails and `audit.required` is set."""
        if not self.records:
            return
        receipt = answer["receipt"]
        seen = {
            "query": files.digest({name: receipt[name] for name in _QUERY}),
            "receipt": receipt["digest"],
            "snapshot": receipt["snapshot"],
            "snapshot_digest": receipt["snapshot_digest"],
            "bundle": receipt["bundle_digest"],
        }
        self._record(request, archive, "search", seen, answer["hits"])

    def hashed(self, request: Request, archive: str, answer: Mapping[str, Any]) -> None:
        """Record that a query was turned into its code."""
        query = {"query": files.digest(answer["code"]), "snapshot": answer["snapshot"]}
        self._record(request, archive, "hash", query, ())

    def opened(self, request: Request, archive: str, did: str, retrieval: Retrieval, item: Mapping[str, Any]) -> None:
        """Record that an item (`did`: "item") or its picture ("image") is shown."""
        source = retrieval.snapshot
        seen = {
            "snapshot": source.number,
            "snapshot_digest": source.digest,
            "bundle": source.document.bundle_digest,
        }
        self._record(request, archive, did, seen, [item])

    def _record(
        self, request: Request, archive: str, did: str, seen: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
    ) -> None:
        if not self.records:
            return
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "who": request.scope[CALLER].name,
            "from": self._address(request),
            "did": did,
            **seen,
            "items": [self.secret.name("item", item["item_id"]) for item in items],
            "studies": sorted({self.secret.name("study", item["study_id"]) for item in items}),
        }
        try:
            self.writers[archive].write(record)
        except OSError as error:
            self.report("audit_failed", {"reason": f"not written ({type(error).__name__})"})
            if self.required:
                raise Unavailable("the audit cannot be written, so nothing is shown; try again later") from error

    def _address(self, request: Request) -> str | None:
        """The client's address. A fence overwrites the header, so that a client behind it cannot choose its value."""
        if self.fenced and (named := request.headers.get(CLIENT)):
            return named
        return request.client.host if request.client else None
