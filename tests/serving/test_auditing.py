"""The endpoint records what it shows before it shows it, and shows nothing that it cannot record."""

import json
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from support.serving_config import served
from typer.testing import CliRunner

from mcmfh.audit.chain import read_secret
from mcmfh.audit.fhir import audit_event
from mcmfh.audit.reading import local_folder, read_audit
from mcmfh.cli import app
from mcmfh.ray_session import BINARY, FENCE, HAPROXY
from mcmfh.search.retrieval import item_path
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.replica import Replica

SEARCH = {"code": "0305", "modality": "image", "k": 3}
KEY, DIGEST = new_key()
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def settings(archive, tmp_path):
    """Overrides of the audited archive, with a secret and a local folder of its own."""
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef" * 4)
    store, _, name = archive.rpartition("/archives/")
    return [
        f"store={store}",
        f"archive.name={name}",
        f"audit.secret_uri={secret}",
        f"audit.folder={tmp_path / 'local'}",
    ]


def endpoint(archive, settings, **audit) -> TestClient:
    config = served(archive, keys=[{"name": "ward", "sha256": DIGEST, "requests_per_second": 1000}])
    values = dict(setting.split("=", 1) for setting in settings[2:])
    section = {name.removeprefix("audit."): value for name, value in values.items()} | audit
    replica = Replica(type(config).model_validate({**config.model_dump(), "audit": section}))
    return TestClient(application(replica))


def command(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["audit", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_who_saw_what_is_recorded_and_printed(archive, settings):
    with endpoint(archive, settings) as client:
        answer = client.post("/v1/search", json=SEARCH, headers=HEADERS).json()
        client.post("/v1/hash", json={"report": "x"}, headers=HEADERS)
        hit = answer["hits"][0]["item_id"]
        assert client.get(item_path(hit), headers=HEADERS).status_code == 200
        assert client.get(f"{item_path(hit)}/image", headers=HEADERS).status_code == 200
        client.get(item_path("no such item"), headers=HEADERS)
        client.post("/v1/search", json=SEARCH, headers={"Authorization": "Bearer wrong"})
    code, out, _ = command(*settings)
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [record["did"] for record in records] == ["search", "hash", "item", "image"]
    search = records[0]
    assert search["who"] == "ward"
    assert search["items"] == [each["item_id"] for each in answer["hits"]]
    assert set(search["studies"]) == {each["study_id"] for each in answer["hits"]}
    for name in ("snapshot", "snapshot_digest"):
        assert search[name] == answer["receipt"][name]
    assert (search["bundle"], search["receipt"]) == (answer["receipt"]["bundle_digest"], answer["receipt"]["digest"])
    assert records[2]["items"] == records[3]["items"] == [hit]
    assert search["from"] == "testclient"
    whole, said, _ = command("verify", *settings)
    assert whole == 0
    assert said.startswith("4 records; whole\n")


@pytest.mark.parametrize(
    ("environment", "fenced"),
    [
        ({FENCE: "fence.json", HAPROXY: "1", BINARY: "starter"}, True),
        ({HAPROXY: "1", BINARY: "/usr/sbin/haproxy"}, False),
        ({HAPROXY: "1"}, False),
        ({}, False),
    ],
    ids=["fenced", "a HAProxy of the user's own", "a cluster's", "no HAProxy"],
)
def test_the_address_is_the_fences_word_and_never_the_clients(archive, settings, monkeypatch, environment, fenced):
    for name in (FENCE, HAPROXY, BINARY):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with endpoint(archive, settings) as client:
        for header in ("x-mcmfh-client", "x-forwarded-for"):
            client.get(item_path("i20"), headers={**HEADERS, header: "192.0.2.7"})
    addresses = [json.loads(line)["from"] for line in command(*settings)[1].splitlines()]
    assert addresses == ["192.0.2.7" if fenced else "testclient", "testclient"]


def test_the_audit_holds_no_identifier_in_clear(archive, settings, tmp_path):
    with endpoint(archive, settings) as client:
        client.post("/v1/search", json={**SEARCH, "k": 60}, headers=HEADERS)
    root = Path(archive.removeprefix("file://"))
    (segment,) = root.glob("audit/segments/*")
    text = segment.read_text()
    assert '"../up"' not in text
    assert '"i20"' not in text
    assert '"ward"' in text


def test_patient_and_key_select(archive, settings, tmp_path):
    with endpoint(archive, settings) as client:
        hits = client.post("/v1/search", json=SEARCH, headers=HEADERS).json()["hits"]
        client.get(item_path("i20"), headers=HEADERS)
    by_study = command("--patient", hits[0]["study_id"], *settings)[1].splitlines()
    assert len(by_study) >= 1
    assert [json.loads(line)["did"] for line in command("--patient", "i20", *settings)[1].splitlines()][-1] == "item"
    assert command("--patient", "nobody", *settings)[1] == ""
    assert command("--who", "research", *settings)[1] == ""
    assert len(command("--who", "ward", *settings)[1].splitlines()) == 2
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("item_id,report,group\ni20,x,patient-7\ni21,x,patient-8\n")
    of_patient = command("--patient", "patient-7", *settings, f"archive.manifest={manifest}")[1].splitlines()
    assert [json.loads(line)["items"] for line in of_patient if json.loads(line)["did"] == "item"] == [["i20"]]


def test_as_fhir(archive, settings):
    with endpoint(archive, settings) as client:
        hits = client.post("/v1/search", json=SEARCH, headers=HEADERS).json()["hits"]
        client.get(item_path("i20"), headers=HEADERS)
    query, read = (json.loads(line) for line in command("--fhir", *settings)[1].splitlines())
    assert query["meta"]["profile"] == ["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Query"]
    assert read["meta"]["profile"] == ["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Read"]
    assert (query["action"], read["action"]) == ("E", "R")
    for event in (query, read):
        assert event["resourceType"] == "AuditEvent"
        assert [agent["requestor"] for agent in event["agent"]] == [True, False]
        assert event["agent"][0]["who"]["display"] == "ward"
        assert event["agent"][0]["network"]["address"] == "testclient"
    seen = [entity["what"]["identifier"]["value"] for entity in query["entity"] if "what" in entity]
    assert {hit["item_id"] for hit in hits} <= set(seen)
    assert query["entity"][0]["role"]["code"] == "24"


def test_an_erased_item_stays_a_digest():
    record = {
        "did": "item",
        "time": "2026-01-01T00:00:00Z",
        "who": None,
        "from": None,
        "items": ["a" * 32],
        "studies": [],
    }
    (entity,) = audit_event(record, {}, "mcmfh")["entity"]
    assert entity["what"]["identifier"]["value"] == "a" * 32


@pytest.mark.parametrize("required", [True, False])
def test_what_cannot_be_recorded_is_not_shown_if_so_configured(archive, settings, required, monkeypatch):
    with endpoint(archive, settings, required=required) as client:
        write = os.write

        def full(descriptor: int, data: bytes) -> int:
            if b'"did"' in data:
                raise OSError(28, "No space left on device")
            return write(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            requests = [
                ("POST", "/v1/search", SEARCH),
                ("GET", item_path("i20"), None),
                ("GET", f"{item_path('i20')}/image", None),
            ]
            for method, path, body in requests:
                answer = client.request(method, path, json=body, headers=HEADERS)
                assert answer.status_code == (503 if required else 200)
                assert ("i20" in answer.text) is False or not required
            assert client.get("/healthz").status_code == 200
        assert client.get(item_path("i20"), headers=HEADERS).status_code == 200
    secret = read_secret(settings[2].partition("=")[2])
    audit = read_audit(archive, secret, local_folder(settings[3].partition("=")[2], archive))
    assert (audit.faults, len(audit.records)) == ([], 1), "the chain goes on as if nothing had been tried"


def test_damage_is_said_and_exits_with_1(archive, settings):
    with endpoint(archive, settings) as client:
        for _ in range(3):
            client.get(item_path("i20"), headers=HEADERS)
    noted = command("verify", *settings)[1].split()[-1]
    assert command("verify", "--head", noted, *settings)[0] == 0
    root = Path(archive.removeprefix("file://"))
    (segment,) = root.glob("audit/segments/*")
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-1]))
    assert command("verify", *settings)[0] == 1
    for path in [segment, *root.glob("audit/heads/*/*")]:
        path.unlink()
    assert command("verify", *settings)[0] == 0, "everything is gone, and nothing in the store tells"
    code, _, said = command("verify", "--head", noted, *settings)
    assert (code, "the end of the audit was cut" in said) == (1, True)
