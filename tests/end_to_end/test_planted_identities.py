"""Who is planted in the inputs stands in nothing that is written: logs, metrics, job output, errors, answers, store.

Identities stand nowhere. Names of folders and files stand in the addresses of pictures alone, which a snapshot needs to
show them; these files, like the reports' texts, are for their owner. So `check` and `manifest` say them on a terminal.
"""

import csv
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from support.head_node import head_node
from support.marked_archive import Marked
from support.written import Said, printed_to, written

from mcmfh.archive.discover import survey
from mcmfh.client import multipart, search_endpoint
from mcmfh.command import run_job
from mcmfh.config import load_config
from mcmfh.processes import free_port
from mcmfh.search.retrieval import item_path
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.replica import Replica
from mcmfh.snapshots.document import read_snapshot
from mcmfh.snapshots.publish import quarantined

pytestmark = pytest.mark.ray
REPOSITORY = Path(__file__).parents[2]
# What holds the patients' data themselves, for its owner alone: what a snapshot shows of an item, in the store and in a
# node's cache, whose picture is read from its address; and the manifest that `mcmfh manifest` writes.
_MAY_HOLD_PATHS = re.compile(
    r"store/archives/archive/shards/[0-9a-f]{64}\.parquet(: image_uri)?"
    r"|own/cache/shards/[0-9a-f]{64}\.shown\.arrow(: image_uri)?"
    r"|own/manifest\.parquet.*"
)
# `check` and `manifest` speak to the archive's owner.
_TERMINALS = ("terminal of check", "terminal of manifest")
_REPEATED = re.compile(rb"^  [\d,]+ \xc3\x97 .*$", re.M)  # the summary's most repeated values of joining keys


def write_table(marked: Marked, target: Path) -> None:
    """A hospital's CSV: the export's files, columns with identities beside them, and rows that are wrong."""
    rows = survey(str(marked.folder)).table.to_pylist()
    names = ["item_id", "image_uri", "report_uri", "study_id", "group", "labels", "patient_name", "mrn"]
    groups: dict[str, str] = {}
    with target.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(names)
        for number, row in enumerate(rows):
            own = [marked.identity("Col"), marked.identity("Cell")] if number < 30 else ["", ""]
            group = groups.get(row["study_id"]) or groups.setdefault(row["study_id"], marked.identity("Group"))
            table.writerow([*(row[name] for name in names[:4]), group, f"finding:{number % 3}", *own])
        for number, path in enumerate(sorted(marked.folder.glob("WkLost*/*"))):
            table.writerow([f"bad{number}", "", str(path), f"b{number}", f"b{number}", "", "", ""])
        table.writerow(["gone", marked.path("Gone"), "", "s", "g", "", marked.identity("Col"), ""])
        table.writerow(["web", f"http://host/{marked.path('Web')}", "", "s1", "g1", "", marked.identity("Col"), ""])
        table.writerow(["windows", f"C:\\{marked.path('Win')}\\x.png", "", "s3", "g3", "", "", ""])
        table.writerow(["long", marked.identity("Row"), "too", "few"])
        table.writerow(["outside", f"/etc/{marked.path('Etc')}/x.png", "", "s2", "g2", "", "", ""])
        file.write(f'quote,"{marked.identity("Open")},,,,,,\n')
        for number in range(20):
            table.writerow([f"none{number}", f"{marked.path('No')}/x.png", "", f"z{number}", f"z{number}", "", "", ""])


class Run:
    """Every command on a marked archive, one after the other; what each says goes to `said`."""

    def __init__(self, folder: Path) -> None:
        self.said: Said
        self.folder, self.own, self.said = folder, folder / "own", []
        self.marked = Marked(folder / "in" / "export")
        write_table(self.marked, folder / "in" / "table.csv")
        port = free_port()
        # The jobs say as much as they can: what their workers print as well.
        self.settings = [f"archive.manifest={folder}/in/table.csv", f"store={folder}/store", f"serve.port={port}"]
        self.settings += ["archive.max_failure_rate=0.9", "embed.workers=1", "train.bits=[16, 32]", "train.epochs=2"]
        self.settings += ["train.batch_size=8", "train.min_steps=1"]
        self.config = load_config(self.settings, read_default=False)

    def command(self, *arguments: str) -> int:
        """Run `mcmfh`; its exit code."""
        process = [sys.executable, "-m", "mcmfh.cli", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        done = subprocess.run(process, capture_output=True, timeout=300, cwd=self.folder, env=environment)
        self.said.append((f"terminal of {arguments[0]}", done.stdout + done.stderr))
        return done.returncode

    def job(self, name: str, *more: str) -> int | str | None:
        """Run a job on the Ray of the tests; its exit code."""
        output, before = self.folder / "job.log", os.umask(0o077)
        try:
            with pytest.raises(SystemExit) as ended, printed_to(output):
                run_job(runpy.run_path(str(REPOSITORY / "jobs" / f"{name}.py"))["main"], [*self.settings, *more])
        finally:
            os.umask(before)
            self.said.append((f"output of the job {name}", output.read_bytes()))
            output.unlink()
        return ended.value.code

    def serve(self) -> None:
        """Ask an endpoint on Ray for everything, and for what it refuses."""
        from ray import serve

        from mcmfh.serving.deployment import start

        with printed_to(self.folder / "serve.log"):
            url = start(self.config)
            try:
                picture = next(self.marked.folder.rglob("study*/*.png")).read_bytes()
                found = search_endpoint([url], picture, {"k": 60}, None)
                self.said.append(("answer", json.dumps(found).encode()))
                self.command("search", "--report", "effusion", "--endpoint", url)
                for address, body, kind in self._requests([hit["item_id"] for hit in found["hits"]]):
                    request = urllib.request.Request(f"{url}{address}", body, {"Content-Type": kind} if body else {})
                    try:
                        with urllib.request.urlopen(request, timeout=60) as response:
                            self.said.append(("answer", response.read()))
                    except urllib.error.HTTPError as error:
                        self.said.append(("answer", repr(error.headers).encode() + error.read()))
            finally:
                serve.shutdown()
        self.said.append(("output of the endpoint", (self.folder / "serve.log").read_bytes()))

    def _requests(self, items: list[str]) -> list[tuple[str, bytes | None, str]]:
        """(address, body, type) of requests for everything, and of bad ones that hold identities."""
        asked = [path for item in items for path in (item_path(item), f"{item_path(item)}/image")]
        asked += ["/metrics", "/v1/version", "/readyz", "/openapi.json", "/v1/nothing"]
        asked += [f"/v1/items/{self.marked.identity('Asked')}", f"/v1/items/{self.marked.identity('Asked')}/image"]
        asked += [f"/v1/version?patient={self.marked.identity('Asked')}", f"/{self.marked.identity('Asked')}"]
        name = self.marked.identity("Query")
        said = {"report": "left pleural effusion"}
        queries = [{"report": name, "k": -1}, {"report": "x", "where": {"modality": name}}, {"item_id": name}]
        queries += [{"code": name, "modality": "image"}, {**said, "target": name}, {**said, "k": name}]
        queries += [{"report": f'{{"patient": "{name}"}}'}, {"report": f"MSH|^~\\&|A|B|{name}||PID|1||{name}^X"}]
        bodies = [json.dumps(query).encode() for query in [*queries, {**said, "histogram": True}]]
        bodies += [f"{{{name}".encode(), name.encode(), f'["{name}"]'.encode()]
        picture, kind = multipart(name.encode() * 9, {"k": "3"})
        posted = [(path, body, "application/json") for path in ("/v1/search", "/v1/hash") for body in bodies]
        return [*((path, None, "") for path in asked), *posted, ("/v1/search", picture, kind)]

    def serve_with_keys(self) -> None:
        """Ask an endpoint of this process by keys that may and may not read, with an audit."""
        search, read, admin = (new_key() for _ in range(3))
        keys = [{"name": "searcher", "sha256": search[1], "roles": ["search"], "requests_per_second": 1000}]
        keys += [{"name": "reader", "sha256": read[1], "requests_per_second": 1000}]
        keys += [{"name": "admin", "sha256": admin[1], "roles": ["admin"]}]
        (self.folder / "secret").write_text("0123456789abcdef" * 4)
        settings = [f"audit.secret_uri={self.folder}/secret", f"audit.folder={self.own}/audit"]
        config = load_config([*self.settings, *settings, f"serve.keys={json.dumps(keys)}"], read_default=False)
        log = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            printed_to(self.folder / "guarded.log"),
        ):
            patch.setenv("MCMFH_CACHE", str(self.own / "cache"))
            with TestClient(application(Replica(config, AccessLog(log)))) as client:
                for name, (secret, _) in {"searcher": search, "reader": read}.items():
                    headers = {"Authorization": f"Bearer {secret}"}
                    found = client.post("/v1/search", json={"report": "effusion", "k": 60}, headers=headers)
                    self.said.append((f"answer to the {name}", found.content))
                    items = [hit["item_id"] for hit in found.json()["hits"]]
                    for address, body, kind in self._requests(items):
                        typed = {**headers, **({"Content-Type": kind} if body else {})}
                        answer = client.request("POST" if body else "GET", address, content=body, headers=typed)
                        self.said.append((f"answer to the {name}", repr(answer.headers).encode() + answer.content))
                wrong = {"Authorization": f"Bearer {self.marked.identity('Key')}"}
                self.said.append(("answer", client.get("/v1/version", headers=wrong).content))
                metrics = client.get("/metrics", headers={"Authorization": f"Bearer {admin[0]}"})
                self.said.append(("metrics", metrics.content))
        self.said.append(("access log", log.getvalue().encode()))
        self.said.append(("output of the endpoint", (self.folder / "guarded.log").read_bytes()))

    def metrics_of_ray(self) -> None:
        """What Prometheus would be given by Ray."""
        import ray

        for node in ray.nodes():
            with urllib.request.urlopen(f"http://127.0.0.1:{node['MetricsExportPort']}/metrics", timeout=30) as answer:
                self.said.append(("metrics of Ray", answer.read()))


@pytest.fixture(scope="module")
def run(tmp_path_factory, cluster):
    """A run in which every command has had its turn."""
    import ray

    run = Run(tmp_path_factory.mktemp("marked"))
    table, store = f"{run.folder}/in/table.csv", f"{run.folder}/store"
    assert run.command("manifest", str(run.marked.folder), f"{run.own}/manifest.parquet") == 0
    assert run.command("check", table) == 1
    assert run.command("check", table, "--duplicates", "--leaks") == 1
    assert run.job("embed", "embed.dry_run=true") == 0
    for job in ("embed", "train", "evaluate", "hash_archive"):
        assert run.job(job) == 0, run.said[-1][1].decode()
    assert run.job("embed", "archive.max_failure_rate=0.01") == 2
    assert run.job("hash_archive", "archive.filters=[labels, patient_name_]") == 2
    run.serve()
    run.serve_with_keys()
    run.metrics_of_ray()
    snapshot = f"{store}/archives/archive"
    assert run.command("search", "--report", "effusion", "--snapshot", snapshot) == 0
    assert run.command("search", "--image", table, "--snapshot", snapshot) == 2
    assert run.command("snapshots", "list", *run.settings) == 0
    assert run.command("store", "verify", store) == 0
    assert run.command("audit", "verify", *run.settings, f"audit.secret_uri={run.folder}/secret") == 0
    run.said += written(Path(store), "store")
    run.said += written(run.own, "own")
    run.said += written(Path(ray._private.worker._global_node.get_session_dir_path()), "session")
    return run


def test_markers_are_planted_and_their_items_are_hashed_or_quarantined(run):
    root = f"{run.folder}/store/archives/archive"
    document = read_snapshot(root, 1)
    reasons = set(quarantined(root, document)["reason"].to_pylist())
    assert len({*run.marked.identities, *run.marked.paths, *run.marked.births}) >= 200
    assert document.items >= 44
    assert document.quarantined >= 45
    assert len(reasons) >= 15
    kinds = {kind for kind, _ in run.said}
    expected = ["answer", "answer to the searcher", "metrics of Ray", "access log", "output of the job evaluate"]
    assert kinds.issuperset(expected)
    for inside in ("metrics.json", "report.html", "MODEL_CARD.md", "calibration.json", ".safetensors", ": report"):
        assert any(kind.startswith("store/") and kind.endswith(inside) for kind in kinds), inside
    for inside in (
        "session/logs/worker-",
        "session/logs/serve/",
        "own/cache/",
        "store/archives/archive/audit/",
    ):
        assert any(kind.startswith(inside) for kind in kinds), inside


def test_no_identity_is_repeated_anywhere(run):
    identities = [*run.marked.identities, *run.marked.births]
    said = [(kind, _REPEATED.sub(b"", text) if kind in _TERMINALS else text) for kind, text in run.said]
    leaks = {(kind, one) for kind, text in said for one in identities if one.encode() in text}
    assert not leaks


def test_names_of_folders_and_files_stand_in_addresses_alone(run):
    leaks = {
        (kind, one)
        for kind, text in run.said
        if not _MAY_HOLD_PATHS.fullmatch(kind) and kind not in _TERMINALS
        for one in run.marked.paths
        if one.encode() in text
    }
    assert not leaks


def test_a_key_without_the_role_to_read_gets_no_report(run):
    seen = b"".join(text for kind, text in run.said if kind == "answer to the searcher")
    assert b"seen by the resident" not in seen
    assert b"seen by the resident" in b"".join(text for kind, text in run.said if kind == "answer to the reader")


def test_what_is_stored_is_its_owners_alone(run):
    for folder in (run.folder / "store", run.own):
        assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []


@pytest.mark.slow
def test_a_submitted_job_says_no_more(run, tmp_path):
    sessions = Path(tempfile.mkdtemp(prefix="s"))  # the path of a socket may not be long
    try:
        with head_node(tmp_path, f"--temp-dir={sessions}") as environment:
            process = [sys.executable, "-m", "mcmfh.cli", "submit", "embed"]
            settings = [setting for setting in run.settings if not setting.startswith("store=")]
            done = subprocess.run(
                [*process, *settings, f"store={tmp_path}/store"],
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                timeout=300,
            )
        said = [("terminal", done.stdout + done.stderr), *written(sessions, "session")]
    finally:
        shutil.rmtree(sessions)
    assert done.returncode == 0, said[0][1].decode()
    assert any("job-driver" in kind for kind, _ in said)
    markers = [*run.marked.identities, *run.marked.births, *run.marked.paths]
    assert {(kind, one) for kind, text in said for one in markers if one.encode() in text} == set()
