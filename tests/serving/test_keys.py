"""Keys are made, read and read again; whatever happens to the key file, nobody enters without a key that it lists."""

import asyncio
import io
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from textwrap import indent

import pytest
import yaml
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse
from support.asgi import asked
from support.serving_config import served
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.config import KeyConfig, ServeConfig, load_config
from mcmfh.errors import InputError
from mcmfh.serving.access import Access
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import KeyRing, configured_keys, new_key
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.middleware import AccessMiddleware
from mcmfh.serving.replica import Replica
from mcmfh.serving.roles import CALLER
from mcmfh.store import files

WARD, LAB = new_key(), new_key()
STRANGER = new_key()[0]


def line(name: str, digest: str) -> str:
    return f"- {{name: {name}, sha256: {digest}, requests_per_second: 1000000}}\n"


def test_the_printed_line_lets_the_printed_key_in(tmp_path):
    printed = CliRunner().invoke(app, ["key", "new", "ward-3", "--requests-per-second", "7"]).output.splitlines()
    secret = printed[0].split()[-1]
    line = printed[1].partition(":   ")[2]
    file = tmp_path / "keys.yaml"
    file.write_text(line)
    by_file = configured_keys(ServeConfig(keys_uri=str(file)))
    by_config = configured_keys(load_config([f"serve.keys={yaml.safe_load(line)}"], read_default=False).serve)
    assert by_file == by_config
    assert by_file[0].requests_per_second == 7
    assert Access(lambda: by_file).identify(f"Bearer {secret}").name == "ward-3"
    assert secret not in line


@pytest.mark.parametrize("content", ["secret", "- {name: a}", "[", "- {name: a, sha256: secret}", "[" * 5000])
def test_a_broken_key_file_is_named_but_not_repeated(tmp_path, content):
    file = tmp_path / "keys.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"keys\.yaml") as error:
        configured_keys(ServeConfig(keys_uri=str(file)))
    assert "secret" not in str(error.value)


NESTED = "".join(f", l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))


@pytest.mark.parametrize(
    "fields",
    [
        "expires: 2026-02-30",
        "expires: 0000-01-01",
        "expires: 2026-01-01 00:00:00 +99:00",
        "expires: !!timestamp soon",
        "requests_per_day: !!bool x",
        "requests_per_day: !!int x",
        f"requests_per_day: {'9' * 5000}",
        "requests_per_second: .inf",
        "requests_per_second: .nan",
        "expires: 2020-01-01, expires: 2099-01-01",
        "where: {sex: F}, where: {}",
        "where: &a {a: *a}",
        f"where: {{l0: &l0 [x, x, x, x, x, x, x, x, x]{NESTED}}}",
    ],
)
def test_a_key_file_that_yaml_or_sense_refuses_admits_nobody(tmp_path, fields):
    file = tmp_path / "keys.yaml"
    file.write_text(f"- {{name: ward, sha256: {WARD[1]}, {fields}}}\n")
    settings = ServeConfig(keys_uri=str(file))
    with pytest.raises(InputError, match=r"keys\.yaml"):
        configured_keys(settings)
    assert KeyRing(settings).keys == ()


def test_fields_that_are_merged_are_not_given_twice(tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text(
        f"- &ward {{name: ward, sha256: {WARD[1]}, where: {{sex: F}}}}\n- {{<<: *ward, name: lab, sha256: {LAB[1]}}}\n"
    )
    assert [(key.name, key.where) for key in configured_keys(ServeConfig(keys_uri=str(file)))] == [
        ("ward", {"sex": "F"}),
        ("lab", {"sex": "F"}),
    ]


LIMITED = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.lists(st.sampled_from(["search", "read", "admin"]), min_size=1, unique=True),
        "where": st.sampled_from(
            [{"sex": "F"}, {"department": "Für Kinder: a"}, {"sex": ["F", "M"], "year": {"min": 2001, "max": 2011}}]
        ),
        "archives": st.lists(st.sampled_from(["chests", "heads"]), unique=True),
        "expires": st.sampled_from([datetime(2026, 1, 10), datetime(2026, 1, 10, 8, 30, tzinfo=UTC), "2031-12-31"]),
        "requests_per_second": st.sampled_from([0.0005, 1e-3, 12, 5]),
        "requests_per_day": st.sampled_from([1, 1000]),
    },
)


def in_block_style(keys: list[dict], order: Random, ended: bool, in_braces: bool) -> bytes:
    """A key file whose keys have their fields in any order, each on lines of its own; a value in braces on one line."""

    def field(name, value) -> str:
        if not in_braces:
            return yaml.safe_dump({name: value}, allow_unicode=True)
        flow = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True)
        return f"{name}: {flow.removesuffix('...' + chr(10))}"  # which it adds to a value without braces

    blocks = ["".join(field(*one) for one in order.sample(list(key.items()), len(key))) for key in keys]
    return ("".join("-" + indent(block, "  ")[1:] for block in blocks) + ("...\n" if ended else "")).encode()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(LIMITED, min_size=1, max_size=2),
    st.randoms(use_true_random=False),
    st.booleans(),
    st.booleans(),
)
def test_no_key_of_a_file_cut_anywhere_has_other_rights_than_in_the_whole_file(limits, order, ended, in_braces):
    keys = [{"name": f"key-{n}", "sha256": f"{n}" * 64, **limit} for n, limit in enumerate(limits)]
    whole = {key["name"]: KeyConfig.model_validate(key) for key in keys}
    content = in_block_style(keys, order, ended, in_braces)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "keys.yaml")
        file.write_bytes(content)
        ring = KeyRing(ServeConfig(keys_uri=str(file)))
        assert {key.name: key for key in ring.keys} == (whole if ended else {})
        for length in range(len(content)):
            file.write_bytes(content[:length])
            ring.refresh()
            for key in ring.keys:
                assert key == whole[key.name], content[:length].decode(errors="replace")
            assert ended or not ring.keys


def test_a_file_that_may_have_been_cut_is_told_how_to_end(tmp_path):
    file = tmp_path / "keys.yaml"
    ward = f"- name: ward\n  sha256: {WARD[1]}\n"
    file.write_text(ward)
    with pytest.raises(InputError, match=r"keys\.yaml' may have been cut.*'\.\.\.'") as error:
        configured_keys(ServeConfig(keys_uri=str(file)))
    assert WARD[1] not in str(error.value)
    for complete in (f"{ward}...", f"{ward}...  # all\n", ward + line("lab", LAB[1]), f"---\n{ward}...\n# all\n"):
        file.write_text(complete)
        assert configured_keys(ServeConfig(keys_uri=str(file)))[0].name == "ward"


def test_two_lines_of_one_key_are_refused(tmp_path):
    """Else the wider of the two would be what counts."""
    file = tmp_path / "keys.yaml"
    file.write_text(f"- {{name: ward, sha256: {WARD[1]}, where: {{sex: F}}}}\n" + line("lab", WARD[1]))
    with pytest.raises(InputError, match="same access key"):
        configured_keys(ServeConfig(keys_uri=str(file)))
    file.write_text(line("lab", WARD[1]))
    listed = [{"name": "ward", "sha256": WARD[1], "where": {"sex": "F"}}]
    assert KeyRing(ServeConfig.model_validate({"keys": listed, "keys_uri": str(file)})).keys[0].name == "ward"


def test_key_faults_are_one_sentence(tmp_path):
    key = KeyConfig(name="a", sha256=WARD[1])
    with pytest.raises(InputError, match="same name"):
        configured_keys(ServeConfig(keys=(key, key)))
    with pytest.raises(InputError, match=r"cannot be read"):
        configured_keys(ServeConfig(keys_uri=str(tmp_path)))  # a folder
    with pytest.raises(InputError, match=r"serve\.keys_uri"):
        load_config(["serve.keys_uri=''"], read_default=False)
    with pytest.raises(InputError, match=r"serve\.keys\.0\.rate.*requests_per_second"):
        load_config([f"serve.keys=[{{name: a, sha256: {'a' * 64}, rate: 1}}]"], read_default=False)
    with pytest.raises(InputError, match=r"serve\.keys\.0\.sha256") as error:
        load_config(["serve.keys=[{name: a, sha256: mcmfh_pasted}]"], read_default=False)
    assert "pasted" not in str(error.value)
    assert isinstance(CliRunner().invoke(app, ["key", "new", "a b"]).exception, InputError)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_keys_of_a_store_that_hangs_grow_stale(tmp_path):
    file, clock = tmp_path / "keys.yaml", Clock()
    file.write_text(line("ward", WARD[1]))
    ring = KeyRing(ServeConfig(keys_uri=str(file), poll_seconds=10), clock=clock)
    assert ring.keys
    clock.now = 59
    assert ring.keys
    clock.now = 61  # nobody has read the file since
    assert ring.keys == ()
    ring.refresh()
    assert ring.keys


def test_the_log_says_why_keys_cannot_be_used_and_holds_no_address(tmp_path):
    file, log = tmp_path / "keys.yaml", io.StringIO()
    file.write_text(line("ward", WARD[1]))
    ring = KeyRing(ServeConfig(keys_uri=str(file)), AccessLog(log).write)
    for content in ("", "[]", "- {name"):
        file.write_text(content)
        ring.refresh()
        assert ring.keys == ()
    file.write_text(line("ward", LAB[1]))
    ring.refresh()
    events = [json.loads(entry) for entry in log.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["keys", *3 * ["keys_failed"], "keys"]
    assert events[0]["version"] != events[-1]["version"]
    assert "serve.keys_uri" in events[1]["reason"]
    assert str(tmp_path) not in log.getvalue()


class ReplicaDouble:
    """The access of one replica, before a route that gives an item. Beside it, what it has read last."""

    def __init__(self, uri: str):
        settings = ServeConfig(keys_uri=uri)
        self.ring = KeyRing(settings)
        log = AccessLog(io.StringIO())
        self.app = AccessMiddleware(item, Access(lambda: self.ring.keys), Metrics(), log, 64, 30, {})
        self.settings, self.may_enter = settings, set()
        self.note()

    def note(self) -> None:
        """Note whose key the file lists now: nobody's, where it is not a whole list."""
        try:
            listed = {key.sha256 for key in configured_keys(self.settings)}
        except InputError:
            listed = set()
        self.may_enter = {secret for secret, digest in (WARD, LAB) if digest in listed}

    def poll(self) -> None:
        self.ring.refresh()
        self.note()

    def check(self, path: str) -> None:
        for secret in (WARD[0], LAB[0], STRANGER, WARD[1], "", None):
            headers = [] if secret is None else [(b"authorization", f"Bearer {secret}".encode())]
            status, answered = asyncio.run(asked(self.app, path, headers=headers))
            assert status == (200 if secret in self.may_enter else 401), secret
            if status == 200:
                assert answered[b"x-scope"] == (b'{"sex": "F"}' if secret == LAB[0] else b"{}")


async def item(scope, receive, send) -> None:
    """A route that gives an item, and the scope in which it was looked for, to whoever comes so far."""
    headers = {"X-Scope": json.dumps(dict(scope[CALLER].view.scope))}
    await JSONResponse({"item_id": "i7"}, headers=headers)(scope, receive, send)


LAB_LINE = f"- {{name: lab, sha256: {LAB[1]}, where: {{sex: F}}}}\n"  # every file of these limits this key
LAB_BLOCK = f"- name: lab\n  sha256: {LAB[1]}\n  where:\n    sex: F\n"
CONTENTS = [
    "",
    "[]",
    "null\n",
    line("ward", WARD[1]),
    line("ward", WARD[1]) + LAB_LINE,
    line("ward", WARD[1]) + LAB_BLOCK + "...\n",
    LAB_BLOCK + line("ward", WARD[1]),
    yaml.safe_dump([{"name": "lab", "sha256": LAB[1], "where": {"sex": "F"}}], explicit_end=True),
    json.dumps([{"name": "lab", "sha256": LAB[1], "where": {"sex": "F"}}], indent=1),
    line("ward", WARD[1]) + line("ward", LAB[1]),
    "- {name: everyone}",
]
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(CONTENTS), st.just(1.0)),
    st.tuples(st.just("write"), st.sampled_from(CONTENTS), st.floats(0, 1)),  # half-written
    st.tuples(st.sampled_from(["delete", "folder"])),
    st.tuples(st.sampled_from(["poll", "restart"]), st.integers(0, 1)),
    st.tuples(st.just("ask"), st.integers(0, 1), st.sampled_from(["/v1/search", "/v1/items/i7", "/v1/version"])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=20))
def test_whatever_happens_to_the_key_file_nobody_enters_without_a_key(steps):
    with tempfile.TemporaryDirectory() as folder:
        uri = f"{folder}/keys.yaml"
        write(uri, line("ward", WARD[1]))
        replicas = [ReplicaDouble(uri), ReplicaDouble(uri)]
        for step in [*steps, ("ask", 0, "/v1/items/i7"), ("ask", 1, "/v1/search")]:
            match step:
                case ("write", content, share):
                    write(uri, content[: round(share * len(content))])
                case ("delete",):
                    files.delete_tree(uri)
                case ("folder",):
                    files.delete_tree(uri)
                    write(f"{uri}/within", "")
                case ("poll", which):
                    replicas[which].poll()
                case ("restart", which):
                    replicas[which] = ReplicaDouble(uri)
                case ("ask", which, path):
                    replicas[which].check(path)


def write(uri: str, content: str) -> None:
    """Replace what is at `uri`."""
    files.delete_tree(uri)
    files.create(uri, content.encode())


@pytest.mark.parametrize("edited", ["", line("lab", LAB[1]), "- {name: ward, sha2"])
def test_a_revoked_key_is_refused_within_a_poll_and_a_restored_one_admitted(archive, tmp_path, edited):
    file = tmp_path / "keys.yaml"
    file.write_text(line("ward", WARD[1]))
    config = served(archive, keys_uri=str(file), poll_seconds=0.05)
    headers = {"Authorization": f"Bearer {WARD[0]}"}
    with TestClient(application(Replica(config, AccessLog(io.StringIO())))) as client:

        def becomes(status: int) -> None:
            enough = time.monotonic() + 30
            while client.get("/v1/version", headers=headers).status_code != status:
                assert time.monotonic() < enough
                time.sleep(0.02)

        before = client.get("/v1/version", headers=headers).json()["keys"]
        file.write_text(edited)
        becomes(401)
        file.write_text(line("ward", WARD[1]))
        becomes(200)
        assert client.get("/v1/version", headers=headers).json()["keys"] == before


@pytest.mark.parametrize("content", [None, "", "[]\n", "- {name: ward, sha2"])
def test_a_replica_that_restarts_on_a_bad_key_file_admits_nobody(archive, tmp_path, content):
    file = tmp_path / "keys.yaml"
    if content is not None:
        file.write_text(content)
    with TestClient(application(Replica(served(archive, keys_uri=str(file)), AccessLog(io.StringIO())))) as client:
        for headers in ({}, {"Authorization": f"Bearer {WARD[0]}"}):
            assert client.get("/v1/items/i9", headers=headers).status_code == 401
            answer = client.post("/v1/search", json={"code": "0305", "modality": "image"}, headers=headers)
            assert answer.status_code == 401
        assert client.get("/healthz").status_code == 200
