"""The recipes of cluster/tls, run with certificates of their own in front of a server on loopback."""

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcmfh.processes import free_port

RECIPES = Path(__file__).parents[2] / "cluster" / "tls"
NAME = "search.hospital.example"
NGINX = """daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/recipe;
}}
"""


@dataclass(frozen=True)
class TLS:
    """url: of the proxy by its name; plain_port: where it listens without TLS; client: files of a client's identity."""

    port: int
    plain_port: int
    folder: Path
    client: tuple[str, str]

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    @property
    def context(self) -> ssl.SSLContext:
        """Trusts the proxy's authority and no other."""
        return ssl.create_default_context(cafile=str(self.folder / "authority.pem"))


def found(program: str) -> str:
    """The program's path; skips the test without it."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"no {program} here")
    return path


def certificates(folder: Path) -> None:
    """An authority, and signed by it the server's certificate for NAME and a client's."""
    openssl = found("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *new, "-days", "2", "-subj", "/CN=A", "-keyout", "authority.key", "-out", "authority.pem")
    (folder / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    for name in ("server", "client"):
        run("req", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2")
        run("x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", "names", "-out", f"{name}.pem")


@contextmanager
def tls_proxy(folder: Path, recipe: str, upstream: int, client_certificates: bool = False) -> Iterator[TLS]:
    """Run cluster/tls/`recipe` in front of loopback's port `upstream`; only addresses, ports and paths are replaced."""
    program = found({"nginx.conf": "nginx", "Caddyfile": "caddy"}[recipe])
    certificates(folder)
    port, plain_port = free_port(), free_port()
    text = (RECIPES / recipe).read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    for installed, own in {
        "search.pem": "server.pem",
        "search.key": "server.key",
        "clients.pem": "authority.pem",
    }.items():
        text = text.replace(f"/etc/ssl/{installed}", f"{folder}/{own}")
    if recipe == "Caddyfile":
        text = text.replace(
            "\tadmin off\n", f"\tadmin off\n\thttp_port {plain_port}\n\thttps_port {port}\n\tskip_install_trust\n"
        )
        command = [program, "run", "--config", f"{folder}/recipe", "--adapter", "caddyfile"]
    else:
        text = text.replace("listen 80;", f"listen 127.0.0.1:{plain_port};").replace(
            "listen 443", f"listen 127.0.0.1:{port}"
        )
        if client_certificates:
            text = text.replace("# ssl_", "ssl_")
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    (folder / "recipe").write_text(text)
    log = (folder / "log").open("wb")
    homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PATH": "/usr/bin"}
    process = subprocess.Popen(command, env=homes, stdout=log, stderr=log)
    try:
        for _ in range(500):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text() + (folder / "error.log").read_text()
            time.sleep(0.02)
        yield TLS(port, plain_port, folder, (f"{folder}/client.pem", f"{folder}/client.key"))
    finally:
        process.terminate()
        process.wait(20)
        log.close()
