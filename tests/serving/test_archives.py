"""An endpoint with several archives: a request asks one that its key may ask, and learns nothing of the others.

The archives have the same item ids, so that an answer from the wrong one cannot go unseen.
"""

import asyncio
import io
import json
import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.local_endpoint import listening
from support.served_archive import pictured
from support.snapshot_rows import publish_rows, rows
from typer.testing import CliRunner

from mcmfh.archive.images import Limits
from mcmfh.audit.chain import read_secret
from mcmfh.audit.reading import read_audit
from mcmfh.cli import app as commands
from mcmfh.config import Config
from mcmfh.errors import InputError
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval, item_path
from mcmfh.search.sharding import ShardedSource
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.pooled import DeploymentCalls, Encoders, IndexPart, PooledEncoding
from mcmfh.serving.replica import Replica
from mcmfh.store import files

NAMES = ("heads", "chests", "hands")
CODE = {"code": "0305", "modality": "image", "k": 20}
GRANTS = {
    "all": None,
    "two": ["hands", "chests"],
    "heads": ["heads"],
    "feet": ["feet"],
}
SECRETS = {name: new_key() for name in GRANTS}


@pytest.fixture
def store(models, tmp_path) -> str:
    """A store with three archives: heads and hands have one model, chests another of the same encoder."""
    for seed, (name, model) in enumerate(zip(NAMES, (models[0], models[1], models[0]))):
        table = pictured(rows([f"i{n}" for n in range(1, 41)], seed=seed), tmp_path)
        texts = pa.array([f"{name} report of {item}" for item in table["item_id"].to_pylist()])
        table = table.set_column(table.column_names.index("report"), "report", texts)
        publish_rows(root_of(tmp_path, name), table, model=model)
    return f"file://{tmp_path}"


def root_of(folder: Path, name: str) -> str:
    return f"file://{folder}/archives/{name}"


def config_of(store: str, **serve) -> Config:
    keys = [
        {"name": name, "sha256": SECRETS[name][1], "requests_per_second": 1e6, "archives": archives}
        for name, archives in GRANTS.items()
    ]
    return Config.model_validate({"store": store, "serve": {"archives": NAMES, "keys": keys, **serve}})


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[name][0]}"}


@pytest.fixture
def client(store):
    with TestClient(application(Replica(config_of(store)))) as client:
        yield client


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_named_archive(client, store, name):
    retrieval = Retrieval(f"{store}/archives/{name}", Limits())
    for query in (CODE, {**CODE, "target": "study"}, {"report": "a nodule", "k": 7, "histogram": True}):
        answer = client.post("/v1/search", json={**query, "archive": name}, headers=bearer("all")).json()
        expected = retrieval.answer(validated(query))
        assert (answer["archive"], answer["receipt"]["archive"]) == (name, name)
        assert [(hit["item_id"], hit["distance"], hit["report"]) for hit in answer["hits"]] == [
            (hit["item_id"], hit["distance"], hit["report"]) for hit in expected["hits"]
        ]
        assert answer["histogram"] == expected["histogram"]
    code = client.post("/v1/hash", json={"report": "a nodule", "archive": name}, headers=bearer("all")).json()
    assert (code["archive"], code["code"]["report"]) == (name, expected["code"]["report"])
    described = client.get(f"/v1/version?archive={name}", headers=bearer("all")).json()
    assert (described["archive"], described["archives"]) == (name, list(NAMES))
    assert described["bundle_digest"] == retrieval.snapshot.document.bundle_digest


def test_the_first_that_the_key_may_ask_answers_where_none_is_named(client):
    for key, first in (("all", "heads"), ("two", "chests"), ("heads", "heads")):
        assert client.post("/v1/search", json=CODE, headers=bearer(key)).json()["archive"] == first
        assert client.get("/v1/version", headers=bearer(key)).json()["archive"] == first
    assert client.get("/v1/version", headers=bearer("two")).json()["archives"] == ["chests", "hands"]


def test_links_lead_to_the_archive_of_the_hit(client):
    for name in NAMES:
        hits = client.post("/v1/search", json={**CODE, "archive": name}, headers=bearer("all")).json()["hits"]
        for hit in hits:
            assert client.get(hit["image"], headers=bearer("all")).headers["Content-Type"] == "image/jpeg"
            item = client.get(f"{item_path(hit['item_id'])}?archive={name}", headers=bearer("all")).json()
            assert (item["archive"], item["report"]) == (name, f"{name} report of {hit['item_id']}")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from([*GRANTS]),
    archive=st.sampled_from([None, *NAMES, "feet", "HEADS", "../heads", "", "a" * 65, "\ud800"]),
    data=st.data(),
)
def test_no_route_tells_a_key_anything_of_another_archive(client, key, archive, data):
    """Every route of the OpenAPI document, with every name."""
    routes = [(verb, path) for path, verbs in client.app.openapi()["paths"].items() for verb in verbs]
    verb, path = data.draw(st.sampled_from(routes))
    path = path.replace("{item_id}", data.draw(st.sampled_from(["i9", "a%2Fb", "none"])))
    allowed = NAMES if GRANTS[key] is None else [name for name in NAMES if name in GRANTS[key]]
    named = {} if archive is None else {"archive": archive}
    if verb == "post":
        body = json.dumps({**CODE, **named})
        answer = client.post(path, content=body, headers={**bearer(key), "Content-Type": "application/json"})
    else:
        answer = client.get(
            path, params={"archive": archive.replace("\ud800", "�")} if named else {}, headers=bearer(key)
        )
    if path in ("/healthz", "/readyz"):
        assert not any(name in answer.text for name in NAMES)
        return
    others = [name for name in NAMES if name not in allowed]
    assert not any(f"{name} report" in answer.text or f'"{name}"' in answer.text for name in others)
    if not allowed:
        assert answer.status_code == 403
    elif archive in allowed or archive is None:
        assert answer.status_code in (200, 404)
        if "application/json" in answer.headers["Content-Type"]:
            assert answer.json()["archive"] == (archive or allowed[0])
    else:
        assert answer.status_code in (400, 404)
        if answer.status_code == 404:  # what exists and what does not are told in the same words
            assert answer.json()["detail"] == f"there is no such archive for you; ask one of {', '.join(allowed)}"


def test_metrics_are_for_keys_of_all_archives(store):
    config = config_of(store).model_dump(mode="json")
    for key in config["serve"]["keys"]:
        key["roles"] = ["admin"]
    with TestClient(application(Replica(Config.model_validate(config)))) as client:
        answers = {name: client.get("/metrics", headers=bearer(name)) for name in GRANTS}
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "all": 200,
        "two": 403,
        "heads": 403,
        "feet": 403,
    }
    assert not any(name in answers["heads"].text for name in ("chests", "hands"))


def test_models_and_encoders_are_shared(store):
    replica = Replica(config_of(store))
    heads, chests, hands = (replica.archive(name).current.bundle for name in NAMES)
    assert heads is hands
    assert heads.code_digest != chests.code_digest
    assert heads.checked_encoder() is chests.checked_encoder()


def test_an_archive_that_cannot_be_opened_stops_no_other(store, tmp_path):
    aside, log = tmp_path / "aside", io.StringIO()
    (tmp_path / "archives/heads/shards").rename(aside)
    replica = Replica(config_of(store, poll_seconds=1000), AccessLog(log))
    with TestClient(application(replica)) as client:
        refused = client.post("/v1/search", json=CODE, headers=bearer("all"))
        assert (refused.status_code, "cannot be opened" in refused.text) == (503, True)
        assert client.post("/v1/search", json={**CODE, "archive": "hands"}, headers=bearer("all")).status_code == 200
        assert client.post("/v1/search", json=CODE, headers=bearer("two")).status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, [part["status"] for part in ready.json()["archives"]]) == (
            200,
            ["closed", "ready", "ready"],
        )
        assert "lacks a file" in ready.json()["archives"][0]["failing"]["reason"]
        assert (
            'mcmfh_snapshot_failing{archive="heads",reason="the archive lacks a file' in replica.metrics_text().decode()
        )
        assert replica.state().startswith("heads: nothing, for the archive lacks a file")
        aside.rename(tmp_path / "archives/heads/shards")
        assert replica.archive("heads").open()
        assert client.post("/v1/search", json=CODE, headers=bearer("all")).json()["archive"] == "heads"
        assert "snapshot_failing{" not in replica.metrics_text().decode()
    assert str(tmp_path) not in log.getvalue()


def test_a_closed_archive_is_opened_by_itself(store, tmp_path):
    aside = tmp_path / "aside"
    (tmp_path / "archives/heads").rename(aside)
    replica = Replica(config_of(store, poll_seconds=0.01))
    with TestClient(application(replica)) as client:
        aside.rename(tmp_path / "archives/heads")
        replica.archive("heads")._thread.join(60)
        assert client.post("/v1/search", json=CODE, headers=bearer("heads")).json()["archive"] == "heads"


def test_nothing_starts_where_no_archive_can_be_opened(store, tmp_path):
    shutil.rmtree(tmp_path / "archives")
    with pytest.raises(InputError, match="heads"):
        Replica(config_of(store))


def test_a_damaged_cache_of_one_archive_stops_no_other(store):
    replica = Replica(config_of(store, poll_seconds=1000))
    with TestClient(application(replica)) as client:
        heads = replica.archive("heads").watcher
        heads._damaged = heads.current
        assert client.post("/v1/search", json=CODE, headers=bearer("all")).status_code == 503
        assert client.post("/v1/search", json={**CODE, "archive": "chests"}, headers=bearer("all")).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_each_archive_has_its_own_snapshots(store, tmp_path, models):
    replica = Replica(config_of(store, poll_seconds=1000))
    with TestClient(application(replica)) as client:
        publish_rows(root_of(tmp_path, "chests"), rows(["i1"], seed=9, version="2"), model=models[1])
        assert replica.archive("chests").watcher.poll()
        numbers = [
            client.get(f"/v1/version?archive={name}", headers=bearer("all")).json()["snapshot"] for name in NAMES
        ]
        assert numbers == [1, 2, 1]
        text = replica.metrics_text().decode()
        assert all(f'mcmfh_snapshot{{archive="{name}"}} {n}.0' in text for name, n in zip(NAMES, numbers))
        assert 'mcmfh_snapshot_swaps_total{archive="chests"} 1.0' in text


def test_a_receipt_is_replayed_in_the_archive_that_it_names(client, store, tmp_path):
    for name in NAMES:
        file = tmp_path / f"{name}.json"
        file.write_text(client.post("/v1/search", json={**CODE, "archive": name}, headers=bearer("all")).text)
        done = CliRunner().invoke(commands, ["replay", str(file), f"store={store}"], catch_exceptions=False)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("archive", "code"), [("../heads", 2), ("", 2), (["heads"], 2), ("feet", 2), ("chests", 1), (None, 0)]
)
def test_a_receipt_that_somebody_wrote_leads_to_no_other_folder(client, store, tmp_path, archive, code):
    """Anybody can compute the digest of a receipt. Without a name, archive.name counts."""
    answer = client.post("/v1/search", json={**CODE, "archive": "hands"}, headers=bearer("all")).json()
    fields = {**answer["receipt"], "archive": archive}
    fields.pop("digest")
    answer["receipt"] = {**fields, "digest": files.digest(fields)}
    file = tmp_path / "forged.json"
    file.write_text(json.dumps(answer))
    arguments = ["replay", str(file), f"store={store}", "archive.name=hands"]
    outcome = CliRunner().invoke(commands, arguments)
    refused = isinstance(outcome.exception, InputError)
    assert (2 if refused else outcome.exit_code) == code, outcome


def test_each_archive_has_its_own_audit(store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef" * 4)
    values = config_of(store).model_dump()
    values["audit"] = {"secret_uri": str(secret), "folder": str(tmp_path / "local")}
    with TestClient(application(Replica(Config.model_validate(values)))) as client:
        for name in ("heads", "chests", "chests"):
            client.post("/v1/search", json={**CODE, "archive": name}, headers=bearer("all"))
        client.get("/v1/items/i9?archive=hands", headers=bearer("two"))
    audits = [read_audit(root_of(tmp_path, name), read_secret(str(secret))) for name in NAMES]
    assert [[record["did"] for record in audit.records] for audit in audits] == [
        ["search"],
        ["search", "search"],
        ["item"],
    ]
    assert not any(audit.faults for audit in audits)


def test_parts_and_encoders_of_the_sharded_layout_hold_all_archives(store):
    config = config_of(store)
    roots = [f"{store}/archives/{name}" for name in NAMES]

    async def scene() -> None:
        parts = [IndexPart(roots, part, 2, 3600) for part in range(2)]
        pool = Encoders(config.model_dump(mode="json"), "cpu")

        async def call(method, *arguments):
            return await method(*arguments)

        calls = DeploymentCalls(parts, pool, call)

        def open_source(root, number):
            return ShardedSource(root, number, 2, partial(calls.ask_parts, root))

        replica = await asyncio.to_thread(Replica, config, open_source=open_source, encoding=PooledEncoding(calls))
        for query in (CODE, {"report": "a nodule"}):
            for name in NAMES:
                answer = await replica.search_answer(validated(query), archive=name)
                single = Retrieval(f"{store}/archives/{name}", Limits()).answer(validated(query))
                assert answer["hits"][0]["report"] == single["hits"][0]["report"]
                assert [hit["distance"] for hit in answer["hits"]] == [hit["distance"] for hit in single["hits"]]
        assert len(pool.bundles) == 2

    asyncio.run(scene())


def enter(browser, url: str, key: str) -> None:
    browser.goto(url)
    browser.wait_for_selector("dialog[open]")
    browser.keyboard.type(SECRETS[key][0])
    browser.keyboard.press("Enter")


def test_the_page_offers_the_archives_of_the_key(browser, store):
    with listening(application(Replica(config_of(store), AccessLog(io.StringIO())))) as url:
        enter(browser, url, "two")
        browser.wait_for_selector("#archive")
        assert browser.eval_on_selector_all("#archive option", "all => all.map(one => one.value)") == [
            "chests",
            "hands",
        ]
        browser.fill("#report", "a nodule")
        for name in ("hands", "chests"):
            browser.select_option("#archive", name)
            browser.wait_for_selector("#about:has-text('40 items')")
            browser.click("#go")
            browser.wait_for_selector(f"#hits li:has-text('{name} report of')")
            browser.wait_for_selector("#hits img[src^='blob:']")
            assert browser.locator("#hits > li").count() == 12
        assert not browser.errors


def test_the_page_offers_no_choice_where_the_key_has_one_archive(browser, store):
    with listening(application(Replica(config_of(store), AccessLog(io.StringIO())))) as url:
        enter(browser, url, "heads")
        browser.wait_for_selector("#about:has-text('40 items')")
        assert not browser.is_visible("#archive")
        browser.fill("#report", "a nodule")
        browser.click("#go")
        browser.wait_for_selector("#hits li:has-text('heads report of')")
