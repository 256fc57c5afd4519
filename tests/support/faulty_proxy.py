"""A proxy before a real S3 server that fails a share of the requests as networks do: 503, a cut connection, silence.

A request may fail before the server hears of it or, what is worse, after it was carried out.
"""

import http.client
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("503", "cut before", "cut after", "cut within", "silence")
_HOP = {"transfer-encoding", "connection", "keep-alive"}


@contextmanager
def faulty_proxy(
    endpoint: str, share: float, faults: Sequence[str] = FAULTS, seed: int = 0
) -> Iterator[tuple[str, Counter[str]]]:
    """(URL of the proxy, number of requests by fault; "" counts the requests that were passed on)."""
    chance, lock, stop = random.Random(seed), threading.Lock(), threading.Event()
    done: Counter[str] = Counter()
    upstream = urlsplit(endpoint)
    host = upstream.hostname or ""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fault = chance.choice(faults) if chance.random() < share else ""
                done[fault] += 1
            if fault == "503":
                return self._answer(503, [("Retry-After", "0")], b"<Error><Code>SlowDown</Code></Error>")
            if fault == "silence":
                stop.wait(60)
            if fault in ("cut before", "silence"):
                return self._hang_up()
            server = http.client.HTTPConnection(host, upstream.port, timeout=60)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    server.putheader(name, value)
            server.endheaders(body or None)
            response = server.getresponse()
            data = response.read()
            server.close()
            if fault == "cut after":
                return self._hang_up()
            headers = [(n, v) for n, v in response.getheaders() if n.lower() not in _HOP | {"content-length"}]
            size = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            if size is not None:
                headers.append(("Content-Length", size))
            self._answer(response.status, headers, data[: len(data) // 2] if fault == "cut within" else data)
            if fault == "cut within":
                self._hang_up()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

        def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
            self.send_response_only(status)
            if not any(name == "Content-Length" for name, _ in headers):
                headers = [*headers, ("Content-Length", str(len(data)))]
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    class Proxy(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Stay silent: clients hang up, too."""

    proxy = Proxy(("127.0.0.1", 0), Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", done
    finally:
        stop.set()
        proxy.shutdown()
        proxy.server_close()
