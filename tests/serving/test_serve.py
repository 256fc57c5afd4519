"""The endpoint on Ray Serve, in both layouts: the same application behind its proxy, answers equal to the library's, a
new snapshot taken over while requests flow."""

import json
import shutil
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from support.serving_config import served
from support.snapshot_rows import publish_rows, rows

from mcmfh.archive.images import Limits
from mcmfh.errors import InputError
from mcmfh.processes import free_port
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.keys import new_key

SECRET, DIGEST = new_key()
KEYS = [{"name": "ward", "sha256": DIGEST, "requests_per_second": 10_000}]
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

    yield start(served(archive, port=free_port(), keys=KEYS, poll_seconds=0.2, layout=request.param))
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
    version = ask(f"{url}/v1/version")
    assert version.pop("keys")
    assert version.pop("archives") == ["small"]
    assert version == library.version
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


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"host": "0.0.0.0", "keys": KEYS}, {}),
        ({"host": "127.0.0.1", "keys": KEYS}, {"port": 8123}),
        ({"host": "::1", "keys": KEYS}, {"host": "localhost"}),
    ],
)
def test_a_second_start_does_not_open_the_first_endpoint(archive, cluster, first, second):
    from ray import serve

    from mcmfh.serving.deployment import start

    port = free_port()
    url = start(served(archive, port=port, **first)).replace("0.0.0.0", "127.0.0.1")
    try:
        with pytest.raises(InputError, match="no access key is configured"):
            start(served(archive, **second))
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(f"{url}/v1/version", key=None)
        assert refused.value.code == 401
        # With keys it may replace the first one; what is printed is where the proxy listens.
        again = start(served(archive, keys=KEYS, **second)).replace("0.0.0.0", "127.0.0.1")
        assert again == url
        assert ask(f"{again}/v1/version")["snapshot"] == 1
    finally:
        serve.shutdown()


@pytest.mark.slow
def test_an_endpoint_that_cannot_start_says_why(archive, models, cluster, tmp_path):
    from ray import serve

    from mcmfh.serving import deployment

    said = []

    def say(line: str) -> None:
        said.append(line)
        if "GPU" in line:
            raise KeyboardInterrupt  # of a user who has read it

    try:
        with pytest.raises(KeyboardInterrupt):
            deployment.start(served(archive, port=free_port(), num_gpus=0.5), say, every_s=0.5)
        assert "STARTING" in said[0]
        serve.delete(deployment.APPLICATION)
        whole = Path(models[1].bundle.removeprefix("file://"))
        bundle = shutil.copytree(whole, tmp_path / whole.name)
        other = f"file://{tmp_path}/archives/other"
        publish_rows(other, rows(["i1"]), model=replace(models[1], bundle=f"file://{bundle}"))
        (bundle / "model.safetensors").write_bytes(b"damaged")
        with pytest.raises(InputError, match=r"the endpoint does not start: .*model\.safetensors"):
            deployment.start(served(other, port=free_port()))
    finally:
        serve.shutdown()
