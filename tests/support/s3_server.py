"""A real S3 server (SeaweedFS) on loopback, for the tests and for trying things out."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcmfh.processes import free_port

KEY, SECRET = "test-key", "test-secret"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Serve S3 from `folder` until the block ends; yields the endpoint's URL."""
    ports = {server: free_port() for server in ("master", "volume", "filer", "s3")}
    s3 = ports["s3"]
    config = folder / "s3.json"
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir(exist_ok=True)
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{server}.port={port}" for server, port in ports.items()),
        # Left alone these are 10,000 above the others: among the ports of connections.
        *(f"-{server}.port.grpc={free_port()}" for server in ports),
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=50",
        "-master.electionTimeout=1s",
        "-volume.preStopSeconds=0",
    ]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(s3, process, folder / "server.log")
        yield f"http://127.0.0.1:{s3}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}")


def environment(endpoint: str) -> dict[str, str]:
    """The variables by which every S3 client finds the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def new_prefix(endpoint: str) -> str:
    """The s3:// URI of an empty prefix. One bucket holds them all: each bucket would claim volumes of its own."""
    import s3fs

    files = s3fs.S3FileSystem(endpoint_url=endpoint, key=KEY, secret=SECRET, skip_instance_cache=True)
    if not files.exists("tests"):
        files.mkdir("tests")
    return f"s3://tests/{uuid.uuid4().hex[:12]}"
