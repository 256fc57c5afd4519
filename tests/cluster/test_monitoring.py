"""Boards and alerts ask for metrics and labels that the code exports, in queries that Prometheus can read."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Histogram
from support.manifests import CLUSTER, REPOSITORY

from mcmfh.bulk.stage import LABELS, ROWS, STEPS
from mcmfh.serving.metrics import Metrics

MONITORING = CLUSTER / "monitoring"
BOARDS = {path.stem: json.loads(path.read_text()) for path in MONITORING.glob("*.json")}
RULE = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
METRIC = re.compile(r"\b(?:ray_)?mcmfh_[a-z_]+")
BY = re.compile(r"\bby \(([^)]*)\)")
MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)"')
ROUTE = re.compile(r'route="([^"]+)"')
OF_JOBS = {f"ray_{name}" for name in (*ROWS, *STEPS)}
LABELS_OF_JOBS = set(LABELS)


def exported() -> tuple[set[str], set[str]]:
    """Names of the endpoint's time series, and their labels with those that a scrape and a histogram add."""
    names, labels = set(), {"instance", "le"}
    for one in [one for one in vars(Metrics("0")).values() if hasattr(one, "_labelnames")]:
        parts = {Counter: ["_total"], Histogram: ["_bucket", "_sum", "_count"]}.get(type(one), [""])
        names |= {one._name + part for part in parts}
        labels |= set(one._labelnames)
    return names | {"mcmfh_replica"}, labels | {"replica"}


def board_queries(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def query_faults(query: str) -> list[str]:
    """Metrics, labels and routes of a query that the code does not export."""
    names, labels = exported()
    asked = {name.strip() for group in BY.findall(query) for name in group.split(",")} | set(MATCHER.findall(query))
    routes = (REPOSITORY / "mcmfh" / "serving" / "application.py").read_text()
    return [
        *(name for name in METRIC.findall(query) if name not in names | OF_JOBS),
        *(name for name in asked if name not in labels | LABELS_OF_JOBS),
        *(route for route in ROUTE.findall(query) if f'"{route}"' not in routes),
    ]


def promtool_says(groups: list[dict[str, Any]], folder: Path) -> str:
    """What Prometheus' own checker finds wrong with rules; empty for good ones."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; it comes with Debian's prometheus")
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def as_rules(queries: list[str]) -> list[dict[str, Any]]:
    filled = [query.replace("$__rate_interval", "5m").replace("$archive", ".*") for query in queries]
    return [{"name": "board", "rules": [{"record": f"x:{n}", "expr": query} for n, query in enumerate(filled)]}]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_asks_for_what_is_exported(name, tmp_path):
    queries = board_queries(BOARDS[name])
    assert len(queries) >= 6
    assert {query: found for query in queries if (found := query_faults(query))} == {}
    assert promtool_says(as_rules(queries), tmp_path) == ""


def test_alerts_ask_for_what_is_exported(tmp_path):
    groups = RULE["spec"]["groups"]
    queries = [rule["expr"] for group in groups for rule in group["rules"]]
    assert {query: found for query in queries if (found := query_faults(query))} == {}
    assert promtool_says(groups, tmp_path) == ""
    for rule in [rule for group in groups for rule in group["rules"]]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_metric_stands_on_a_board():
    shown = {name for board in BOARDS.values() for query in board_queries(board) for name in METRIC.findall(query)}
    names, _ = exported()
    families = {re.sub("_(total|bucket|sum|count)$", "", name) for name in names}
    assert families <= {re.sub("_(total|bucket|sum|count)$", "", name) for name in shown}
    assert shown >= OF_JOBS


@pytest.mark.parametrize(
    "query",
    [
        "sum(rate(mcmfh_request_total[5m]))",
        "mcmfh_snapshot_number",
        "sum by (path) (mcmfh_requests_total)",
        'mcmfh_requests_total{code="500"}',
        'mcmfh_request_seconds_count{route="/v2/search"}',
        "ray_mcmfh_rows_finished",
        "sum(mcmfh_rows_done)",
    ],
)
def test_an_unknown_name_in_a_query_is_named(query):
    assert query_faults(query)


@pytest.mark.parametrize(
    "query",
    ["sum(rate(mcmfh_requests_total[5m])", "rate(mcmfh_requests_total)", "mcmfh_items by (le)", "mcmfh_items[5]"],
)
def test_prometheus_refuses_a_broken_query(query, tmp_path):
    assert promtool_says(as_rules([query]), tmp_path)


def test_prometheus_refuses_a_misspelt_key_of_a_rule(tmp_path):
    planted = copy.deepcopy(RULE["spec"]["groups"])
    planted[0]["rules"][0]["annotation"] = planted[0]["rules"][0].pop("annotations")
    assert promtool_says(planted, tmp_path)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_whole(name):
    board = BOARDS[name]
    assert board["uid"] == f"mcmfh-{name}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    variables = {f"${{{one['name']}}}" for one in board["templating"]["list"]}
    assert {panel["datasource"]["uid"] for panel in board["panels"]} <= variables
    used = {word for query in board_queries(board) for word in re.findall(r"\$([a-z]+)", query)}
    assert used <= {one["name"] for one in board["templating"]["list"]}
    squares = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(set(squares)) == len(squares)


FAULT = 'mcmfh_faults_total{event="%s"}'
STATUS = 'mcmfh_requests_total{route="/v1/search", status="%s"}'
BUCKET = 'mcmfh_request_seconds_bucket{route="/v1/search", le="%s"}'
JOB = 'ray_mcmfh_%s{archive="a", stage="embed"}'


def firing(alert: str, series: dict[str, str], folder: Path, hours: int) -> bool:
    """Whether `alert` fires after `hours` of `series`: name → a value a minute, in promtool's notation."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; it comes with Debian's prometheus")
    rules = [rule for group in RULE["spec"]["groups"] for rule in group["rules"] if rule["alert"] == alert]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": rules}]}))
    count = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": count, "eval_time": f"{hours}h", "exp_samples": [{"labels": "{}", "value": 1}]}],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or "got:" in done.stdout + done.stderr, done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("alert", "bad", "good"),
    [
        ("EndpointGone", {"mcmfh_items": "1x120"}, {"mcmfh_snapshot": "1x120"}),
        (
            "EndpointFails",
            {STATUS % 200: "0+90x120", STATUS % 500: "0+10x120"},
            {STATUS % 200: "0+90x120", STATUS % 500: "0+0x120", STATUS % 503: "0+10x120"},
        ),
        (
            "EndpointTooBusy",
            {STATUS % 200: "0+90x120", STATUS % 503: "0+10x120"},
            {STATUS % 200: "0+99x120", STATUS % 503: "0+1x120"},
        ),
        (
            "EndpointSlow",
            {BUCKET % "1": "0+50x120", BUCKET % "5": "0+100x120", BUCKET % "+Inf": "0+100x120"},
            {BUCKET % "1": "0+100x120", BUCKET % "5": "0+100x120", BUCKET % "+Inf": "0+100x120"},
        ),
        (
            "SnapshotRefused",
            {"mcmfh_snapshot_failures_total": "0x110 1x10"},
            {"mcmfh_snapshot_failures_total": "3x120"},
        ),
        (
            "NewestSnapshotBroken",
            {'mcmfh_snapshot_failing{reason="checksum"}': "7x120"},
            {'mcmfh_snapshot_failing{reason="checksum"}': "7x60 _x60"},
        ),
        (
            "CacheDamaged",
            {'mcmfh_cache_damage_total{instance="a"}': "0x110 1x10"},
            {'mcmfh_cache_damage_total{instance="a"}': "2x120"},
        ),
        ("AuditFails", {FAULT % "audit_failed": "0x115 1x5"}, {FAULT % "audit_failed": "1x120"}),
        ("QuotasNotShared", {FAULT % "quotas_failed": "0+1x120"}, {FAULT % "quotas_failed": "0x115 1x5"}),
        ("KeysUnusable", {FAULT % "keys_failed": "0x115 1x5"}, {FAULT % "audit_failed": "0+1x120"}),
        ("IssuerAway", {FAULT % "issuer_failed": "0x100 0+1x20"}, {FAULT % "issuer_failed": "0x110 1x10"}),
        (
            "ReplicasDisagree",
            {'mcmfh_snapshot{instance="a"}': "4x120", 'mcmfh_snapshot{instance="b"}': "3x120"},
            {'mcmfh_snapshot{instance="a"}': "4x120", 'mcmfh_snapshot{instance="b"}': "3x115 4x5"},
        ),
        ("NoNewSnapshot", {"mcmfh_snapshot": "4x2400"}, {"mcmfh_snapshot": "4x1200 5x1200"}),
        (
            "JobStalls",
            {JOB % "rows_total": "100x120", JOB % "rows_done": "50x120"},
            {JOB % "rows_total": "9999x120", JOB % "rows_done": "0+1x120"},
        ),
        (
            "ManyQuarantined",
            {JOB % "rows_total": "100x120", JOB % "rows_quarantined": "6x120"},
            {JOB % "rows_total": "100x120", JOB % "rows_quarantined": "5x120"},
        ),
    ],
)
def test_an_alert_fires_when_it_should(alert, bad, good, tmp_path):
    hours = 40 if alert == "NoNewSnapshot" else 2
    assert firing(alert, bad, tmp_path, hours)
    assert not firing(alert, good, tmp_path, hours)


def test_every_alert_was_made_to_fire():
    tried = {alert for mark in test_an_alert_fires_when_it_should.pytestmark for alert, *_ in mark.args[1]}
    assert tried == {rule["alert"] for group in RULE["spec"]["groups"] for rule in group["rules"]}
