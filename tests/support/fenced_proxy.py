"""HAProxy with the configuration that Ray Serve generates, run through the fence, in front of one server. No Ray."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from mcmfh.processes import free_port
from mcmfh.ray_session import BINARY, write_starter
from mcmfh.serving.fence import FILE, Fence


class Mirror(BaseHTTPRequestHandler):
    """Answers every request with what arrived: path, headers and the size of the body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = {"path": self.path, "size": len(body), "headers": {k.lower(): v for k, v in self.headers.items()}}
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *values: object) -> None:
        return


class MirrorServer(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


@dataclass(frozen=True)
class Proxy:
    host: str
    port: int
    folder: Path
    pid: int


def ray_configuration(folder: Path, host: str, port: int, server: int | None) -> Path:
    """Ray's own configuration file for a proxy on host:port, with a server on loopback at port `server`, if any."""
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions

    config = HAProxyConfig(
        http_options=HTTPOptions(host=host, port=port),
        socket_path=str(folder / "admin.sock"),
        metrics_socket_path=str(folder / "metrics.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "server-state"),
        is_head=True,
    )
    servers = [ServerConfig(name="replica", host="127.0.0.1", port=server)] if server else []
    backends = {"app": BackendConfig(name="app", path_prefix="/", app_name="mcmfh", servers=servers)} if server else {}
    path = folder / "haproxy.cfg"
    HAProxyApi(config, backends, str(path))._generate_config_file_internal()
    return path


@contextmanager
def fenced_proxy(folder: Path, fence: Fence, host: str = "127.0.0.1", behind: bool = True) -> Iterator[Proxy]:
    """A proxy told to listen on `host`, with a Mirror behind it or with nothing."""
    server = MirrorServer(("127.0.0.1", 0), Mirror)
    Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    config = ray_configuration(folder, host, port, server.server_port if behind else None)
    starter = write_starter(folder)
    fence.write(folder / "fence.json")
    process = subprocess.Popen(
        [starter, "-db", "-f", str(config), "-dR"],
        env={**os.environ, BINARY: starter, FILE: str(folder / "fence.json")},
    )
    try:
        for _ in range(600):
            if (folder / "admin.sock").exists() or process.poll() is not None:
                break
            time.sleep(0.02)
        assert process.poll() is None, "the proxy did not start"
        yield Proxy(host, port, folder, process.pid)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)
        server.shutdown()
        server.server_close()
