"""The client of the endpoint loads nothing that a hospital's workstation lacks."""

import http.server
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from mcmfh.client import search_endpoint
from mcmfh.errors import InputError

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from mcmfh.client import search_endpoint
known = {{*sys.stdlib_module_names, "mcmfh"}}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} - before - known))
"""


def test_importing_the_client_imports_the_standard_library_alone():
    """Neither torch nor ray nor numpy: nothing but mcmfh itself."""
    program = "import sys\nbefore = {name.partition('.')[0] for name in sys.modules}\n" + PROGRAM.format(
        root=str(Path(__file__).parent.parent)
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


class Answering(http.server.BaseHTTPRequestHandler):
    """An endpoint that answers its own port, or 503 where it is told to be busy."""

    busy: ClassVar[set[int]] = set()

    def do_POST(self):
        port = self.server.server_address[1]
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if port in self.busy else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"port": port, "detail": "busy"}).encode())

    def log_message(self, *arguments):
        return


@pytest.fixture
def nodes():
    """The ports of two endpoints, and one at which nobody listens."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield [server.server_address[1] for server in servers], nobody.getsockname()[1]
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(*ports: int) -> tuple[int, int]:
    """(which answered, how many tries failed)"""
    failed = []
    answer = search_endpoint([f"http://127.0.0.1:{port}/" for port in ports], None, {}, None, failed.append)
    return answer["port"], len(failed)


def test_a_lost_request_goes_to_the_next_address(nodes):
    (first, second), nobody = nodes
    assert ask(first, second) == (first, 0)
    assert ask(nobody, second) == (second, 1)
    assert ask(nobody, nobody, nobody, first) == (first, 3)
    Answering.busy = {first}
    try:
        assert ask(first, second) == (second, 1)
        with pytest.raises(InputError, match="answered 503: busy"):
            ask(first, first)
    finally:
        Answering.busy = set()
    with pytest.raises(InputError, match=f"no endpoint answers at 'http://127.0.0.1:{nobody}/'"):
        ask(nobody)
