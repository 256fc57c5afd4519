"""The fence around HAProxy: what listens where, slow clients, connections per address, addresses behind a proxy.

HAProxy itself runs, with Ray's own configuration and without Ray.
"""

import json
import selectors
import socket
import stat
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, suppress
from dataclasses import replace

import pytest
from support.fenced_proxy import fenced_proxy, ray_configuration

from mcmfh.processes import listeners, sockets
from mcmfh.serving.fence import Fence, fenced

QUICK = Fence(None, header_seconds=1, body_seconds=1, connections_per_address=300)
# More than the time-outs, for a machine that is busy.
PATIENCE_S = 20


def connected(proxy, address="127.0.0.1") -> socket.socket:
    """A new connection from `address`. One that the proxy resets at once fails when it is used."""
    connection = socket.socket()
    connection.settimeout(PATIENCE_S)
    connection.bind((address, 0))
    with suppress(ConnectionResetError):
        connection.connect(("127.0.0.1", proxy.port))
    return connection


def asked(connection: socket.socket, *headers: str, path: str = "/v1/version", body: bytes = b"") -> bytes:
    """The whole answer to one request; empty where the proxy closes the connection instead."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionError:
        return b""


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


def is_gone(connection: socket.socket) -> bool:
    """Whether the proxy closes the connection while PATIENCE_S passes without a byte from this side."""
    connection.settimeout(PATIENCE_S)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.fixture
def proxy(tmp_path_factory):
    with fenced_proxy(tmp_path_factory.mktemp("p"), QUICK) as started:
        yield started


def test_nothing_but_the_frontend_listens_and_the_socket_is_its_owner_s(proxy):
    held = sockets(proxy.pid)
    assert [(host, port) for host, port, inode in listeners() if inode in held] == [("127.0.0.1", proxy.port)]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in proxy.folder.glob("*.sock")}
    assert modes == {"admin.sock": 0o600}


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("0.0.0.0", {"0.0.0.0"}), ("localhost", {"127.0.0.1"}), ("::", {"0.0.0.0", "::"}), ("127.0.0.3", {"127.0.0.3"})],
)
def test_only_the_frontend_listens_on_the_configured_host(tmp_path_factory, listen, expected):
    with fenced_proxy(tmp_path_factory.mktemp("p"), replace(QUICK, listen=listen)) as proxy:
        held = sockets(proxy.pid)
        bound = {(host, port) for host, port, inode in listeners() if inode in held}
        assert bound == {(host, proxy.port) for host in expected}


SLOW = {
    "half a header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
    "nothing": b"",
    "half a request line": b"GE",
    "half a body": b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "half a chunk": b"POST /v1/search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_200_slow_requests_are_gone_within_the_time_out(proxy, sent):
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connected(proxy))) for _ in range(200)]
        for connection in slow:
            connection.sendall(sent)
        assert status(asked(connected(proxy))) == 200, "an honest request is answered meanwhile"
        assert all(is_gone(connection) for connection in slow)


def test_a_header_that_arrives_byte_by_byte_is_ended_too(proxy):
    connection, ended = connected(proxy), None
    for count in range(400):
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nX-A: "[count : count + 1] or b"a")
        except ConnectionError:
            ended = count
            break
        time.sleep(0.05)
    assert ended


def test_a_connection_that_idles_after_a_request_is_ended(proxy):
    connection = connected(proxy)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert is_gone(connection)


def test_an_address_holds_so_many_connections_and_no_other_suffers(tmp_path_factory):
    fence = replace(QUICK, header_seconds=60, body_seconds=60, connections_per_address=20)
    with fenced_proxy(tmp_path_factory.mktemp("p"), fence) as proxy:
        with ExitStack() as stack:
            for address in ("127.0.0.1", "127.0.0.2"):
                idle = [connected(proxy, address) for _ in range(25)]
                for connection in idle:
                    stack.enter_context(closing(connection))
                assert wait_for(lambda: len(refused(idle)) == 5)  # noqa: B023
            for address in ("127.0.0.1", "127.0.0.2"):
                assert asked(connected(proxy, address)) == b""
            assert status(asked(connected(proxy, "127.9.9.9"))) == 200
        assert wait_for(lambda: status(asked(connected(proxy))) == 200), "who closes connections may open others"


def refused(connections: list[socket.socket]) -> list[socket.socket]:
    """Those that the proxy closed or answered. (select.select() takes no descriptor above 1023.)"""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(0)]


def wait_for(condition) -> bool:
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_2000_slow_connections_from_200_addresses_leave_honest_requests_answered(tmp_path_factory):
    with fenced_proxy(tmp_path_factory.mktemp("p"), replace(QUICK, header_seconds=30)) as proxy, ExitStack() as stack:
        for n in range(2000):
            slow = stack.enter_context(closing(connected(proxy, f"127.0.1.{1 + n % 200}")))
            slow.sendall(SLOW["half a header"])
        assert [status(asked(connected(proxy))) for _ in range(50)] == [200] * 50


def address_seen(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-mcmfh-client"])


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ((), "203.0.113.9", "127.0.0.1"),  # nobody is believed by default
        (("127.0.0.5",), "203.0.113.9", "127.0.0.1"),  # nor is one who is not the proxy
        (("127.0.0.1",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8",), "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # what the client itself put there is not
        (("127.0.0.1", "10.0.0.0/8"), "203.0.113.9, 10.1.2.3", "203.0.113.9"),  # two proxies
        (("127.0.0.1",), "2001:db8::7", "2001:db8::7"),
        (("127.0.0.1",), "no address", "127.0.0.1"),
    ],
)
def test_a_forwarded_address_is_believed_from_trusted_proxies_alone(tmp_path_factory, trusted, forwarded, client):
    with fenced_proxy(tmp_path_factory.mktemp("p"), replace(QUICK, trusted_proxies=trusted)) as proxy:
        answer = asked(connected(proxy), f"X-Forwarded-For: {forwarded}", "X-MCMFH-Client: 192.0.2.1")
        assert address_seen(answer) == client


def test_behind_a_proxy_each_forwarded_address_has_its_own_connections(tmp_path_factory):
    fence = replace(QUICK, body_seconds=60, connections_per_address=5, trusted_proxies=("127.0.0.1",))
    with fenced_proxy(tmp_path_factory.mktemp("p"), fence) as proxy, ExitStack() as stack:
        for client in ("203.0.113.1", "2001:db8::1"):
            slow = [stack.enter_context(closing(connected(proxy))) for _ in range(8)]
            for connection in slow:
                head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nContent-Length: 9\r\n\r\n"
                connection.sendall(head.encode())
            assert wait_for(lambda: len(refused(slow)) == 3)  # noqa: B023
        for client, expected in (("203.0.113.1", 429), ("2001:db8::1:2", 429), ("203.0.113.3", 200)):
            assert status(asked(connected(proxy), f"X-Forwarded-For: {client}")) == expected


@pytest.mark.parametrize("path", ["/-/routes", "/-/healthz", "/-/ROUTES"])
def test_ray_s_own_pages_answer_this_machine_alone(tmp_path_factory, path):
    with fenced_proxy(tmp_path_factory.mktemp("p"), replace(QUICK, trusted_proxies=("127.0.0.1",))) as proxy:
        assert status(asked(connected(proxy), path=path)) in (200, 503)
        assert status(asked(connected(proxy), "X-Forwarded-For: 203.0.113.9", path=path)) == 404


def test_without_a_replica_the_answer_is_a_problem_document_of_503(tmp_path_factory):
    with fenced_proxy(tmp_path_factory.mktemp("p"), QUICK, behind=False) as proxy:
        for path in ("/v1/search", "/", "/healthz"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{proxy.port}{path}", timeout=PATIENCE_S)
            assert refused.value.code == 503
            assert refused.value.headers["Retry-After"]
            assert refused.value.headers["Cache-Control"] == "no-store"
            assert json.load(refused.value)["status"] == 503


CHANGED = {
    "the admin socket is another": (" mode 666 ", " mode 660 "),
    "statistics are written otherwise": ("listen stats", "frontend stats"),
    "something new listens": ("listen stats", "frontend more\n  bind *:1234\nlisten stats"),
    "the frontend has another name": ("frontend http_frontend", "frontend web"),
}


@pytest.mark.parametrize(("old", "new"), CHANGED.values(), ids=CHANGED)
def test_a_configuration_of_another_ray_stops_the_start(tmp_path, old, new):
    config = ray_configuration(tmp_path, "127.0.0.1", 8000, 9000).read_text()
    assert fenced(fenced(config, QUICK, "e"), QUICK, "e") == fenced(config, QUICK, "e")
    assert old in config
    with pytest.raises(ValueError, match="its configuration"):
        fenced(config.replace(old, new), QUICK, "e")


def test_the_fence_is_written_for_its_owner_and_read_again(tmp_path):
    path = tmp_path / "fence.json"
    fence = replace(QUICK, listen="::1", trusted_proxies=("10.0.0.0/8",))
    fence.write(path)
    assert Fence.read(str(path)) == fence
    assert Fence.read(None) == Fence()
