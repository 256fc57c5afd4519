"""Makes tests/support/old_store/ by the code of commit a0b2eed, the last before the rooms were rearranged.

    git worktree add OLD a0b2eed
    cd OLD && PYTHONPATH=OLD python REPOSITORY/tests/support/make_old_store.py

store.tar.xz: all objects below s3://tests/old-store, as the old code left them: an archive of drawn pictures and
reports, its embeddings, a finished training and evaluation, two snapshots, and three jobs that died: a training after
its second epoch, an embedding after its first unit, a hashing just before its snapshot became visible. answers.json:
what the old code answers on that store, and the results of its own jobs when they resume.
"""

# The modules below are those of the old code: here some do not exist, and others hold other things.
# ruff: noqa: I001
# mypy: ignore-errors

import importlib.util
import io
import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
OUTPUT = HERE / "old_store"


class Killed(BaseException):
    """Death of a job."""


def by_path(name: str):
    """A module beside this file, though its package is not that of the old tests."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    server = by_path("s3_server")
    with tempfile.TemporaryDirectory() as folder, server.s3_server(Path(folder)) as endpoint:
        os.environ.update(server.environment(endpoint), MCMFH_CACHE=f"{folder}/cache")
        server.new_prefix(endpoint)
        make(by_path("old_store_work"))


def make(work) -> None:
    from mcmfh import storage
    from mcmfh.archive.images import Limits
    from mcmfh.bulk import archive_run, listing
    from mcmfh.bulk.embed import UnitDone, embeddings_folder
    from mcmfh.config import load_config
    from mcmfh.serving.queries import Query
    from mcmfh.serving.retrieval import Retrieval
    from mcmfh.snapshots import numbered, shards, units
    from mcmfh.snapshots.archive import archive_root, open_manifest, read_archive
    from mcmfh.snapshots.diff import diff
    from mcmfh.snapshots.publish import quarantined, snapshots_folder
    from mcmfh.training import archive_training, mcr
    from mcmfh.training.archive_training import evaluate_archive, train_archive

    budget = {"units": 1000}

    def embed(config, spec, plan):
        for unit in plan:
            if not budget["units"]:
                raise Killed
            budget["units"] -= 1
            table = work.embedded(unit.items())
            marker = units.write_unit(embeddings_folder(config.store, spec), unit.digest, table)
            yield UnitDone(marker["rows"], marker["quarantined"], 0, 0.0, 0.0)

    def inline(function, calls):
        return (function(*call) for call in calls)

    archive_run.embedding.embed = embed
    for module in (archive_run, archive_training):
        module.current_spec = lambda config: work.SPEC
    for module in (archive_run, listing):
        module.each = inline
    create = storage.create

    def killed_at(uri_end: str, job) -> None:
        def dying(uri, data):
            if uri.endswith(uri_end):
                raise Killed
            return create(uri, data)

        storage.create = dying
        try:
            job()
        except Killed:
            return
        finally:
            storage.create = create
        raise AssertionError(f"no job came to {uri_end}")

    pictures, rows = work.pictures_and_rows(144)
    for name, data in pictures.items():
        create(f"{work.ARCHIVE}/pictures/{name}", data)
    first, second, other = rows[:96], [dict(row) for row in rows[4:96]], rows[96:]
    second[10]["report"] = "another report"
    second[20]["labels"] = "theme-9"
    for name, listed in {"first": first, "second": second, "other": other}.items():
        create(f"{work.ARCHIVE}/{name}.csv", work.manifest(listed))

    def config(name: str, *more: str):
        return load_config([*work.JOB, f"archive.manifest={work.ARCHIVE}/{name}.csv", *more], read_default=False)

    def hashed(name: str, *more: str):
        configured = config(name, *more)
        return archive_run.hash_archive(configured, open_manifest(configured.archive))

    def codes(archive: str) -> dict:
        root = archive_root(work.STORE, archive)
        document = numbered.head(snapshots_folder(root))[1]
        removed = shards.read_tombstones(root, document["tombstones"], document["rows"])
        found, row = {}, 0
        for shard in document["shards"]:
            tensors = shards.read_codes(shards.read_verified(root, "shards", shard["codes"], "safetensors"))
            items = shards.read_items(shards.read_verified(root, "shards", shard["items"], "arrow"))
            for i, item in enumerate(items["item_id"].to_pylist()):
                if not removed[row + i]:
                    found[item] = {n: x[i].tobytes().hex() for n, x in sorted(tensors.items()) if "present" not in n}
            row += shard["rows"]
        return found

    def answers(number: int) -> dict:
        retrieval = Retrieval(archive_root(work.STORE, "archive"), Limits(), number)
        return work.answers(retrieval, lambda fields: retrieval.search(Query(**fields)))

    training = config("first", *work.TRAINING)
    archive_run.embed_archive(training, open_manifest(training.archive))
    archive = read_archive(training.archive)
    trained = train_archive(training, archive)
    evaluated = evaluate_archive(training, archive, trained.bundle)
    hashed("first")
    published = hashed("second")
    pretraining = config("first", "pretrain.size=tiny", "pretrain.vocabulary_size=300")

    # Three jobs die.
    killed = config("first", *work.KILLED_TRAINING)
    killed_at("epoch-000002.safetensors", lambda: train_archive(killed, archive))
    budget["units"] = 1
    try:
        hashed("other", "archive.name=half-embedded")
    except Killed:
        budget["units"] = 1000
    killed_at("snapshots/000001.json", lambda: hashed("first", "archive.name=half-published"))

    OUTPUT.mkdir(exist_ok=True)
    with tarfile.open(OUTPUT / "store.tar.xz", "w:xz") as packed:
        for uri, _ in storage.walk(work.FOLDER):
            entry, data = tarfile.TarInfo(uri.removeprefix(f"{work.FOLDER}/")), storage.read(uri)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))

    # What the old code answers, and the results of its jobs when they resume.
    root = archive_root(work.STORE, "archive")
    documents = [numbered.get(snapshots_folder(root), number) for number in (1, 2)]
    recorded = {
        "commit": "a0b2eed",
        "trained": vars(trained),
        "evaluated": evaluated.report,
        "answers": {str(number): answers(number) for number in (1, 2)},
        "quarantined": quarantined(root, published.document).select(["item_id", "row", "reason"]).to_pylist(),
        "diff": vars(diff(root, *documents)),
        "pretraining": mcr.pose(pretraining, archive).fingerprint,
        "codes": codes("archive"),
    }
    for name, archive_name in {"other": "half-embedded", "first": "half-published"}.items():
        published = hashed(name, f"archive.name={archive_name}", f"hash.bundle={trained.bundle}")
        recorded[archive_name] = {"document": published.document, "codes": codes(archive_name)}
    recorded["killed training"] = vars(train_archive(killed, archive))
    (OUTPUT / "answers.json").write_text(
        json.dumps(recorded, separators=(",", ":"), sort_keys=True, default=list) + "\n"
    )


if __name__ == "__main__":
    main()
