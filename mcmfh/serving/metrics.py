"""The metrics of one replica, which Prometheus reads at /metrics. No label holds any content of a request."""

import os
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Events of the log that are faults of what an endpoint needs beside its archive.
FAULTS = ("audit_failed", "quotas_failed", "keys_failed", "issuer_failed")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """A registry of its own for each replica.

    A scrape may reach any of several replicas; the label `replica` (default: the process id) says which one answered.
    """

    def __init__(self, replica: str | None = None, archives: Sequence[str] = ()):
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("mcmfh_requests", "Answered requests", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "mcmfh_request_seconds", "From the request to its answer", ("route",), buckets=SECONDS, registry=registry
        )
        self.in_flight = Gauge("mcmfh_requests_in_flight", "Requests being answered", registry=registry)
        self.encode = Histogram(
            "mcmfh_encode_seconds", "One pass of the encoder", ("modality",), buckets=SECONDS, registry=registry
        )
        self.batch = Histogram(
            "mcmfh_encode_batch", "Queries in one pass", ("modality",), buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.snapshot = Gauge("mcmfh_snapshot", "Number of the snapshot that answers", ("archive",), registry=registry)
        self.items = Gauge("mcmfh_items", "Items in the snapshot that answers", ("archive",), registry=registry)
        self.swaps = Counter(
            "mcmfh_snapshot_swaps", "Snapshots taken over while serving", ("archive",), registry=registry
        )
        self.failures = Counter(
            "mcmfh_snapshot_failures", "Tries to take over a snapshot that failed", ("archive",), registry=registry
        )
        self.damage = Counter(
            "mcmfh_cache_damage",
            "Sweeps that found a changed file in the node's cache",
            ("archive",),
            registry=registry,
        )
        self.failing = Gauge(
            "mcmfh_snapshot_failing",
            "Number of the newest snapshot, where it cannot be served",
            ("archive", "reason"),
            registry=registry,
        )
        self.faults = Counter(
            "mcmfh_faults", "Failures of audit, quotas, key file and issuer", ("event",), registry=registry
        )
        # An alert sees the first one only if there was a 0 before.
        for event in FAULTS:
            self.faults.labels(event)
        for archive in archives:
            for counter in (self.swaps, self.failures, self.damage):
                counter.labels(archive)
        Gauge("mcmfh_replica", "The replica that answered", ("replica",), registry=registry).labels(
            replica or str(os.getpid())
        ).set(1)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def count_pass(self, modality: str, queries: int, seconds: float) -> None:
        self.encode.labels(modality).observe(seconds)
        self.batch.labels(modality).observe(queries)

    def count_fault(self, event: str) -> None:
        """Count an event of the log if it is one of FAULTS."""
        if event in FAULTS:
            self.faults.labels(event).inc()

    def set_snapshot(self, archive: str, snapshot: int, items: int) -> None:
        self.snapshot.labels(archive).set(snapshot)
        self.items.labels(archive).set(items)

    def set_failing(self, failing: Mapping[str, tuple[int, str] | None]) -> None:
        """failing: archive → the number of its newest snapshot and why it is not served; None where it is."""
        self.failing.clear()
        for archive, fault in failing.items():
            if fault is not None:
                self.failing.labels(archive, fault[1]).set(fault[0])

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
