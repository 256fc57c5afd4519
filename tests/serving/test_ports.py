"""What a running endpoint has open, compared with README's table; what answers without a key; how it stops."""

import json
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request
from ipaddress import ip_address
from pathlib import Path

import pytest
from support.serve_job import REPOSITORY, command, environment, serve_job

from mcmfh.errors import InputError
from mcmfh.processes import below, free_port, listeners, sockets
from mcmfh.serving.binding import check_port
from mcmfh.serving.keys import new_key

SECRET, DIGEST = new_key()
TABLE = re.compile(r"^\| (?P<port>[^|]+) \| (?P<host>[^|]+) \| (?P<who>[^|]+) \| (?P<open>[^|]+) \|$", re.M)
PUBLIC = {"/healthz": 200, "/readyz": 200, "/": 401, "/docs": 401}


def table() -> dict[str, tuple[str, str]]:
    """README's table of ports: port → (host, who answers)."""
    section = (REPOSITORY / "README.md").read_text().partition("| Port |")[2].partition("\n\n")[0]
    return {row["port"].strip("` "): (row["host"].strip("` "), row["who"]) for row in TABLE.finditer(section)}


def opened(process) -> set[tuple[str, int]]:
    """(address, port) on which the process and those that it started listen."""
    held = set().union(*(sockets(pid) for pid in below(process.pid)))
    return {(host, port) for host, port, inode in listeners() if inode in held}


def own_address() -> str:
    """An address of this machine that is not loopback, or else loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def status(url: str, key: str | None = None, method: str = "GET") -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.ray
def test_what_listens_is_what_the_readme_says_and_a_stop_is_told_as_one(archive, tmp_path):
    rows, port = table(), free_port()
    assert rows["serve.port"][0] == "serve.host"
    assert {host for name, (host, _) in rows.items() if name != "serve.port"} == {"127.0.0.1"}
    keys = json.dumps([{"name": "ward", "sha256": DIGEST, "requests_per_second": 10000}])
    with serve_job(archive, tmp_path, host="0.0.0.0", port=port, keys=keys, replicas=2) as (process, url):
        assert url == f"http://0.0.0.0:{port}"
        found = opened(process)
        outside = {(host, number) for host, number in found if not ip_address(host).is_loopback}
        assert outside == {("0.0.0.0", port)}
        assert any(30000 <= number <= 31000 for _, number in found), "the replicas' ports, which the table names"

        url = f"http://{own_address()}:{port}"
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/openapi.json", headers={"Authorization": f"Bearer {SECRET}"}), timeout=30
        ) as answer:
            document = json.load(answer)
        paths = {*document["paths"], *PUBLIC, "/metrics", "/openapi.json", "/-/routes", "/-/healthz", "/stats", "/x"}
        for path in sorted(paths):
            for method in ("GET", "POST", "OPTIONS"):
                expected = PUBLIC.get(path) if method == "GET" else None
                outside_only = (404, 200, 503) if path.startswith("/-/") else (401, 405)
                assert status(url + path, method=method) in ((expected,) if expected else outside_only), (method, path)
        with urllib.request.urlopen(f"{url}/readyz", timeout=30) as answer:
            assert "ready" in answer.read().decode()

        folders = {Path(match[1]).parent for pid in below(process.pid) for match in configurations(pid)}
        assert folders
        for folder in folders:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE((folder / "admin.sock").stat().st_mode) == 0o600

        seen = while_stopping(process, f"{url}/v1/version", SECRET)
    assert {200, 0} <= seen <= {200, 503, 0}
    assert "Traceback" not in (tmp_path / "serve.log").read_text()


def while_stopping(process, url: str, key: str | None) -> set[int]:
    """The statuses that a client sees from a second before the process is told to stop until it has; 0: no answer."""
    seen, stopped = set(), threading.Event()

    def ask():
        while not stopped.is_set():
            try:
                seen.add(status(url, key))
            except (OSError, ValueError):
                seen.add(0)
            time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    stopped.set()
    thread.join()
    return seen


def configurations(pid: int):
    """The configuration files that HAProxy was started with, as matches."""
    line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return re.finditer(r"haproxy.* -f (\S+)", line)


@pytest.mark.ray
@pytest.mark.slow
def test_without_keys_all_is_loopback(archive, tmp_path):
    port = free_port()
    with serve_job(archive, tmp_path, port=port) as (process, url):
        assert url == f"http://127.0.0.1:{port}"
        assert {host for host, _ in opened(process) if not ip_address(host).is_loopback} == set()
        assert status(f"{url}/v1/version") == 200
        seen = while_stopping(process, f"{url}/v1/version", None)
    assert {200, 0} <= seen <= {200, 503, 0}


def told(archive, variables: dict[str, str], **serve) -> str:
    """What jobs/serve.py says on standard error when it refuses to start with these environment variables."""
    done = subprocess.run(
        command(archive, port=free_port(), **serve),
        cwd=REPOSITORY,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.ray
@pytest.mark.parametrize(
    ("program", "reason"), [("/bin/false", "crashed during startup"), ("/nonexistent/haproxy", "does not point to")]
)
def test_a_proxy_that_does_not_start_is_told_in_one_line(archive, program, reason):
    keys = json.dumps([{"name": "ward", "sha256": DIGEST}])
    line = told(archive, {"RAY_SERVE_HAPROXY_BINARY_PATH": program}, keys=keys)
    assert line.startswith("error: the proxy did not start on '127.0.0.1', port ")
    assert reason in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1"])
def test_a_cluster_that_cannot_be_joined_is_told_in_one_line(archive, address):
    line = told(archive, {"RAY_ADDRESS": address})
    assert line.startswith(f"error: Ray at '{address}' cannot be joined (")
    assert line.count("\n") == 1


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_taken_port_is_told_in_one_line_before_ray_starts(archive, listening):
    with socket.socket(socket.AF_INET6 if ":" in listening else socket.AF_INET) as taken:
        taken.bind((listening, 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(archive, port=port), cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr == f"error: port {port} is taken on '127.0.0.1'; stop its holder or change serve.port\n"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.77", "is no address of this machine"),
        ("no-such-host.invalid", "no name that this machine can look up"),
        ("2001:db8::9", "serve.host"),
    ],
)
def test_a_host_that_cannot_be_listened_on_is_named(host, reason):
    with pytest.raises(InputError, match=reason):
        check_port(host, 8000)


def test_a_port_that_has_just_been_left_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server.accept()[0].close()  # this side waits (TIME_WAIT)
        client.close()
    check_port("127.0.0.1", port)
