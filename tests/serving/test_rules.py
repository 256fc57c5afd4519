"""No answer holds what its caller may not have: random grants and requests, against a small model of the rules.

The model is a loop over the archive's rows. It shares no code with the endpoint.
"""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.serving_config import served

from mcmfh.search.opening import open_snapshot
from mcmfh.search.retrieval import item_path
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.replica import Replica
from mcmfh.serving.roles import _ITEMS, _OF_ADDRESS, _OF_ALL

SECRET, DIGEST = new_key()
OTHER, OTHER_DIGEST = new_key()
HEADERS = {"Authorization": f"Bearer {SECRET}"}
CONDITIONS = st.one_of(
    st.fixed_dictionaries({"modality": st.sampled_from(["CT", "MR", "XX", ["CT"], ["CT", "MR"], []])}),
    st.fixed_dictionaries({"year": st.sampled_from([2003, [2001, 2005], {"min": 2008}, {"min": 2002, "max": 2011}])}),
    st.fixed_dictionaries({"modality": st.just("CT"), "year": st.just({"max": 2010})}),
    st.just({}),
)
GRANTS = st.fixed_dictionaries(
    {"roles": st.lists(st.sampled_from(["search", "read", "admin"]), min_size=1, unique=True)},
    optional={
        "where": CONDITIONS | st.just({"ward": "x"}) | st.just({"year": "soon"}),
        "archives": st.sampled_from([["small"], ["other"], ["other", "small"]]),
        "expires": st.sampled_from([-3600, 3600]),
    },
)
SEARCHES = st.fixed_dictionaries(
    {
        "code": st.sampled_from(["0305", "0000", "0707"]),
        "modality": st.sampled_from(["image", "report"]),
        "k": st.sampled_from([1, 5, 100]),
        "where": CONDITIONS,
        "histogram": st.booleans(),
        "target": st.sampled_from(["image", "report", "study"]),
    },
)


@pytest.fixture
def endpoint(archive, tmp_path):
    """(client, the function that puts a grant into the key file, the rows of the archive)."""
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump([{"name": "other", "sha256": OTHER_DIGEST}], explicit_end=True))
    replica = Replica(served(archive, keys_uri=str(file), poll_seconds=3600))
    api = application(replica)

    def admit(grant: dict) -> None:
        expires = grant.pop("expires", None)
        if expires is not None:
            grant["expires"] = datetime.now(UTC) + timedelta(seconds=expires)
        keys = [{"name": "ward", "sha256": DIGEST, "requests_per_second": 1e6, **grant}]
        file.write_text(yaml.safe_dump([*keys, {"name": "other", "sha256": OTHER_DIGEST}], explicit_end=True))
        api.state.key_ring.refresh()

    snapshot = open_snapshot(archive)
    rows = snapshot.shown(np.flatnonzero(snapshot.live).tolist())
    with TestClient(api) as client:
        yield client, admit, rows, snapshot


def meets(row: dict, where: dict) -> bool:
    for column, condition in where.items():
        value = row[column]
        if value is None:
            return False
        if isinstance(condition, dict):
            if not condition.get("min", value) <= value <= condition.get("max", value):
                return False
        elif value not in (condition if isinstance(condition, list) else [condition]):
            return False
    return True


def expected_status(grant: dict, role: str | None) -> int:
    if grant.get("expires", 1) < 0:
        return 401
    if "small" not in grant.get("archives", ["small"]):
        return 403
    if role and role not in grant["roles"]:
        return 403
    where = grant.get("where", {})
    return 403 if role != "admin" and ("ward" in where or where.get("year") == "soon") else 200


def visible(rows: list[dict], grant: dict) -> dict[str, dict]:
    return {row["item_id"]: row for row in rows if meets(row, grant.get("where", {}))}


def check_item(shown: dict, inside: dict[str, dict], reads: bool) -> None:
    row = inside[shown["item_id"]]
    assert shown["study_id"] == row["study_id"]
    assert (shown["report"] is None) is not (reads and row["report"] is not None)
    assert shown["image"] is None or reads


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grant=GRANTS, search=SEARCHES, at=st.integers(0, 59))
def test_no_answer_holds_what_its_caller_may_not_have(endpoint, grant, search, at):
    client, admit, rows, snapshot = endpoint
    admit(dict(grant))
    reads, status = "read" in grant["roles"], expected_status(grant, "search")

    answer = client.post("/v1/search", json=search, headers=HEADERS)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert "report of" not in answer.text
    else:
        inside = visible(rows, grant)
        wanted = {name: row for name, row in inside.items() if meets(row, search["where"])}
        modalities = ("image", "report") if search["target"] == "study" else (search["target"],)
        coded = {name: row for name, row in wanted.items() if any(present(snapshot, name, m) for m in modalities)}
        body = answer.json()
        for hit in body["hits"]:
            check_item(hit, wanted, reads)
        hits = len({row["study_id"] for row in coded.values()}) if search["target"] == "study" else len(coded)
        assert len(body["hits"]) == min(search["k"], hits)
        if search["histogram"]:
            counted = sum(present(snapshot, name, m) for name in wanted for m in modalities)
            assert sum(body["histogram"]) == counted
        assert body["receipt"].get("scope", {}) == grant.get("where", {})

    name = rows[at]["item_id"]
    for suffix in ("", "/image"):
        shown = client.get(item_path(name) + suffix, headers=HEADERS)
        status = expected_status(grant, "read")
        assert shown.status_code == (404 if status == 200 and name not in visible(rows, grant) else status), shown.text
        if shown.status_code == 200 and not suffix:
            check_item(shown.json(), visible(rows, grant), True)
        elif shown.status_code != 200:
            assert "report of" not in shown.text

    described = client.get("/v1/version", headers=HEADERS)
    assert described.status_code == expected_status(grant, None)
    if described.status_code == 200:
        inside = visible(rows, grant)
        assert described.json()["items"] == len(inside)
        for column in ("modality", "year"):
            values = sorted({row[column] for row in inside.values()} - {None})
            assert described.json()["filters"][column]["values"] == values

    assert client.get("/metrics", headers=HEADERS).status_code == expected_status(grant, "admin")
    assert client.post("/v1/search", json=search, headers={"Authorization": "Bearer none"}).status_code == 401


def present(snapshot, name: str, modality: str) -> bool:
    return snapshot.row(name) in snapshot.indexes[f"{modality}.16"].ids


def test_every_route_has_its_role(endpoint):
    client, *_ = endpoint
    listed = set(_OF_ADDRESS) | _OF_ALL | {"/healthz", "/readyz"}
    for route in client.app.routes:
        assert route.path in listed or route.path.startswith(_ITEMS), route.path
    answer = client.get("/v1/nothing", headers={"Authorization": f"Bearer {OTHER}"})
    assert (answer.status_code, json.loads(answer.text)["status"]) == (404, 404)
