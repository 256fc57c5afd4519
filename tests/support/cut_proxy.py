"""A proxy before a TCP server whose connections can be cut, as a dropped VPN or a restarted load balancer does it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Cuts:
    """The open connections of a proxy."""

    def __init__(self) -> None:
        self.open: list[socket.socket] = []
        self.lock = threading.Lock()

    def add(self, *sockets: socket.socket) -> None:
        with self.lock:
            self.open += sockets

    def cut(self) -> int:
        """Cut all connections; returns how many there were."""
        with self.lock:
            sockets, self.open = self.open, []
        count = 0
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
                count += 1
            one.close()
        return count


@contextmanager
def cut_proxy(url: str, address: str = "127.0.0.1") -> Iterator[tuple[str, Cuts]]:
    """(URL of the proxy, its connections) in front of the server at `url`. address: where the proxy listens."""
    server, cuts = urlsplit(url), Cuts()
    listener = socket.create_server((address, 0))

    def accept() -> None:
        while True:
            try:
                near = listener.accept()[0]
                far = socket.create_connection((server.hostname or "", server.port or 80))
            except OSError:
                return
            cuts.add(near, far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pass, args=(source, sink), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://{address}:{listener.getsockname()[1]}", cuts
    finally:
        listener.close()
        cuts.cut()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
