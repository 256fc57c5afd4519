"""The endpoint on Ray Serve, in both layouts: the same application behind its proxy, answers equal to the library's, a
new snapshot taken over while requests flow."""

import json
import socket
import threading
import urllib.error
import urllib.request
from urllib.parse import quote

import pytest
from support.serving_config import served
from support.snapshot_rows import publish_rows, rows

from mcmfh.archive.images import Limits
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.access import new_key

SECRET, DIGEST = new_key()
AWKWARD = ("a/b", "a/b/image", "ü ?#%2F")


def ask(url: str, body: dict | None = None, key: str | None = SECRET) -> dict:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@pytest.fixture(params=["single", pytest.param("sharded", marks=pytest.mark.slow)])
def url(request, archive, cluster):
    from ray import serve

    from mcmfh.serving.deployment import start

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = [{"name": "ward", "sha256": DIGEST, "requests_per_second": 10_000}]
    yield start(served(archive, port=port, keys=keys, poll_seconds=0.2, layout=request.param))
    serve.shutdown()


def test_the_application_behind_serve(url, archive, models):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{url}/v1/version", key=None)
    assert refused.value.code == 401
    for item_id in AWKWARD:
        assert ask(f"{url}/v1/items/{quote(item_id, safe='')}")["item_id"] == item_id
    assert ask(f"{url}/readyz", key=None)["snapshot"] == 1
    library = Retrieval(archive, Limits())
    for query in (
        {"code": "0305", "modality": "image", "k": 50, "target": "study", "where": {"modality": "CT"}},
        {"report": "Nodule in the left lung.", "rerank": 16},
        {"report": "No finding.", "target": "report", "histogram": True},
    ):
        assert ask(f"{url}/v1/search", query) == library.answer(validated(query))
    assert ask(f"{url}/v1/version") == library.version
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{url}/v1/search", {"code": "0305", "modality": "image", "where": {"year": "soon"}})
    assert refused.value.code == 400
    assert "Traceback" not in refused.value.read().decode()

    seen, failures, stop = [], [], threading.Event()

    def flow():
        while not stop.is_set():
            try:
                seen.append(ask(f"{url}/v1/search", {"code": "0305", "modality": "image", "k": 5})["snapshot"])
            except OSError as error:
                failures.append(error)

    thread = threading.Thread(target=flow)
    thread.start()
    publish_rows(archive, rows([f"i{n}" for n in range(70, 90)]), model=models[1])
    pause = threading.Event()
    for _ in range(600):
        if seen and seen[-1] == 2:
            break
        pause.wait(0.1)
    stop.set()
    thread.join()
    assert not failures
    assert seen == sorted(seen)
    assert seen[-1] == 2
