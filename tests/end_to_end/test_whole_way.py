"""From a phantom archive to an answered query, on a local store and on a real S3 server, by the calls the jobs make."""

import csv
import io
import json
import urllib.error
import urllib.request
from collections import Counter

import numpy as np
import pytest

from mcmfh.config import load_config
from mcmfh.phantom import write_phantom
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.processes import free_port
from mcmfh.search.opening import open_snapshot
from mcmfh.store import files

STUDIES = 90


@pytest.fixture(scope="module", params=["file", "s3"])
def way(request, tmp_path_factory, cluster):
    """The stages once a store: everything the tests below look at."""
    from mcmfh.pipeline.embed import embed_archive
    from mcmfh.pipeline.evaluate import evaluate_archive
    from mcmfh.pipeline.hash import hash_archive
    from mcmfh.pipeline.train import train_archive

    if request.param == "file":
        store = str(tmp_path_factory.mktemp("store"))
    else:
        from support.s3_server import new_prefix

        store = new_prefix(request.getfixturevalue("s3_endpoint")) + "/deep"
    manifest = write_phantom(files.join(files.absolute(store), "phantom"), studies=STUDIES, seed=3)
    port = free_port()
    config = load_config(
        [
            f"store={store}",
            f"archive.manifest={manifest}",
            "archive.filters=[modality, region]",
            "embed.workers=1",  # loading an encoder costs more than embedding this archive
            "embed.unit_items=32",
            "train.bits=[16, 32]",
            "train.epochs=3",
            "train.batch_size=32",
            "train.workers=2",
            f"serve.port={port}",
        ],
        read_default=False,
    )
    archive = read_archive(config.archive)
    embedded = embed_archive(config, open_manifest(config.archive))
    trained = train_archive(config, archive)
    evaluated = evaluate_archive(config, archive, trained.bundle)
    published = hash_archive(config, open_manifest(config.archive))
    return config, archive, embedded, trained, evaluated, published


@pytest.fixture(scope="module")
def endpoint(way):
    """URL of the served snapshot."""
    from ray import serve

    from mcmfh.serving.deployment import start

    url = start(way[0])
    yield url
    serve.shutdown()


def post(url: str, body: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_nothing_is_lost(way):
    config, archive, embedded, _, _, published = way
    assert archive.inputs == STUDIES
    assert published.items + published.quarantined.num_rows == STUDIES
    assert embedded.encoded + embedded.failed == archive.items.num_rows


def test_every_broken_input_is_listed_with_its_reason(way):
    config, _, _, _, _, published = way
    broken = files.read_json(files.join(files.parent(config.archive.manifest), "broken.json"))
    expected = Counter((row["row"], row["reason"]) for row in broken)
    found = published.quarantined.select(["row", "reason"]).to_pylist()
    assert Counter((row["row"], row["reason"]) for row in found) == expected
    assert len(broken) >= 2


def test_a_second_run_does_no_work_twice(way):
    from mcmfh.pipeline.embed import embed_archive
    from mcmfh.pipeline.evaluate import evaluate_archive
    from mcmfh.pipeline.hash import hash_archive
    from mcmfh.pipeline.train import train_archive

    config, archive, _, trained, evaluated, published = way
    again = embed_archive(config, open_manifest(config.archive))
    assert (again.encoded, again.failed, again.reused) == (0, 0, archive.items.num_rows)
    model = train_archive(config, archive)
    assert model.reused
    assert (model.bundle, model.number) == (trained.bundle, trained.number)
    assert evaluate_archive(config, archive, trained.bundle).evaluations == evaluated.evaluations
    second = hash_archive(config, open_manifest(config.archive))
    assert (second.snapshot, second.hashed, second.items) == (published.snapshot, 0, published.items)
    assert second.quarantined.num_rows == published.quarantined.num_rows


def test_scores_stand_beside_chance(way):
    evaluation = way[4].evaluations[0]
    score = evaluation.score("mAP@all", "image→report", "unseen")
    assert evaluation.bits == 16
    assert 0 < score.chance < score.value <= 1
    assert score.worst <= score.value <= score.best


def test_the_endpoint_answers_as_the_snapshot_does(way, endpoint):
    from mcmfh.search.nearest import nearest_hits

    config, archive, _, _, _, published = way
    snapshot = open_snapshot(published.root)
    answer = post(f"{endpoint}/v1/search", {"report": "Small nodule in the right lung.", "k": 7, "bits": 32})
    code = np.frombuffer(bytes.fromhex(answer["code"]["report"]), np.uint8)
    hits = nearest_hits(snapshot, {"report": code}, 7, "image", 32)
    ids = [item["item_id"] for item in snapshot.shown(hits.rows.tolist())]
    assert [hit["item_id"] for hit in answer["hits"]] == ids
    assert [hit["distance"] for hit in answer["hits"]] == hits.distances.tolist()
    assert answer["snapshot"] == published.snapshot


def test_an_archived_image_finds_itself_by_its_code(way, endpoint):
    from mcmfh import client
    from mcmfh.search.in_process import search_snapshot

    config, archive, _, _, _, published = way
    quarantined = set(published.quarantined["item_id"].to_pylist())
    item = next(i for i in archive.items.to_pylist() if i["item_id"] not in quarantined and i["image_uri"])
    everything = {"k": published.items, "target": "image"}
    answer = client.search_endpoint(endpoint, files.read(item["image_uri"]), everything)
    own = next(hit for hit in answer["hits"] if hit["item_id"] == item["item_id"])
    # Served alone, hashed in a batch: a logit within rounding of zero may turn, no more.
    assert own["distance"] <= 1
    picture = client.get(endpoint + own["image"])
    assert picture[:3] == b"\xff\xd8\xff"
    assert search_snapshot(published.root, files.read(item["image_uri"]), {"k": 5})["hits"]


def test_filters_and_studies(way, endpoint):
    body = {"report": "fracture", "k": 50, "target": "study", "where": {"modality": ["CT", "MR"]}}
    answer = post(f"{endpoint}/v1/search", body)
    assert answer["hits"]
    assert {hit["where"]["modality"] for hit in answer["hits"]} <= {"CT", "MR"}
    studies = [hit["study_id"] for hit in answer["hits"]]
    assert len(studies) == len(set(studies))


@pytest.mark.parametrize(
    ("body", "status", "culprit"),
    [
        (b'{"report": "x", "k": 0}', 400, "k"),
        (b'{"report": "x", "where": {"ward": 1}}', 400, "ward"),
        (b"{", 400, "JSON"),
        (b"{}", 400, "empty"),
        (b'{"code": "00", "modality": "image"}', 400, "8 bits"),
    ],
)
def test_bad_requests_get_one_sentence(endpoint, body, status, culprit):
    request = urllib.request.Request(f"{endpoint}/v1/search", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == status
    assert caught.value.headers["Content-Type"] == "application/problem+json"
    assert culprit in json.load(caught.value)["detail"]


def test_one_new_row_at_the_top_encodes_one_item(way):
    from mcmfh.pipeline.dry_run import estimate
    from mcmfh.pipeline.hash import hash_archive

    config, archive, _, _, _, published = way
    text = files.read(config.archive.manifest).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    quarantined = set(published.quarantined["item_id"].to_pylist())
    new = {**next(row for row in rows if row["item_id"] not in quarantined), "item_id": "NEW", "study_id": "NEW"}
    sink = io.StringIO()
    writer = csv.DictWriter(sink, rows[0])
    writer.writeheader()
    writer.writerows([new, *rows])
    longer = files.join(files.parent(config.archive.manifest), "longer.csv")
    files.create(longer, sink.getvalue().encode())
    config = config.model_copy(update={"archive": config.archive.model_copy(update={"manifest": longer})})
    manifest = open_manifest(config.archive)
    expected = estimate(config, manifest)
    assert (expected.inputs, expected.todo) == (STUDIES + 1, 1)
    assert expected.hours > 0
    assert "1 to embed" in str(expected)
    more = hash_archive(config, manifest)
    assert (more.hashed, more.items) == (1, published.items + 1)
    assert more.snapshot == published.snapshot + 1
