"""A proxy before a TCP server whose connections can be cut, as a dropped VPN or a restarted load balancer does it.

It can be slow, too: a job that waits for its store lasts as long as a test needs it, without work for the processors.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Connections:
    """The open connections of a proxy. A PUT to a path with `slow` in it, if that is not empty, waits for `pause_s`."""

    def __init__(self) -> None:
        self.open: list[socket.socket] = []
        self.lock = threading.Lock()
        self.slow, self.pause_s = b"", 0.0

    def cut(self) -> int:
        """Cut all connections; returns how many sockets there were."""
        with self.lock:
            sockets, self.open = self.open, []
        count = 0
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
                count += 1
            one.close()
        return count

    def cut_again_and_again(self, times: int, seconds: float = 90) -> None:
        """Cut as often as `times`, each time a client has connected anew; raises TimeoutError where none does."""
        for _ in range(times):
            deadline = time.monotonic() + seconds
            while not self.cut():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no client has come back within {seconds:.0f} s")
                time.sleep(0.5)
            time.sleep(1)

    def serve(self, near: socket.socket, far: socket.socket) -> None:
        """Pass on what each end sends, until both have ended."""
        with self.lock:
            self.open += (near, far)
        back = threading.Thread(target=self._pass_on, args=(far, near), daemon=True)
        back.start()
        self._pass_on(near, far)
        back.join()
        with self.lock:
            self.open = [one for one in self.open if one not in (near, far)]
        near.close()
        far.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.slow and data.startswith(b"PUT ") and self.slow in data.partition(b"\r\n")[0]:
                    time.sleep(self.pause_s)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def cut_proxy(url: str, address: str = "127.0.0.1") -> Iterator[tuple[str, Connections]]:
    """(URL of the proxy, its connections) in front of the server at `url`. address: where the proxy listens."""
    server, connections = urlsplit(url), Connections()
    listener = socket.create_server((address, 0))

    def accept() -> None:
        while True:
            try:
                near = listener.accept()[0]
            except OSError:
                return
            try:
                far = socket.create_connection((server.hostname or "", server.port or 80))
            except OSError:
                near.close()
                continue
            threading.Thread(target=connections.serve, args=(near, far), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://{address}:{listener.getsockname()[1]}", connections
    finally:
        listener.close()
        connections.cut()
