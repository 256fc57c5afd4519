"""What an S3 client must know besides keys in variables: profiles, keys that expire, a CA of one's own, a proxy."""

import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mcmfh.store import files, filesystems

BODY = b"an object"


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No identity and no address but those that a test sets."""
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL", "PROFILE", "CA_BUNDLE", "REGION")
    for name in names:
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    filesystems._filesystem.cache_clear()
    yield
    filesystems._filesystem.cache_clear()


@pytest.fixture
def server():
    """An S3 that has every object: (its port, the access keys and request lines it saw, what makes it speak TLS)."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            key = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
            seen.append((key, self.path))
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.send_header("ETag", '"e"')
            self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(BODY)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            return

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def speak_tls(certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)

    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield listener.server_address[1], seen, speak_tls
    listener.shutdown()


def test_a_profile_holds_address_and_keys(server, tmp_path, monkeypatch):
    port, seen, _ = server
    (tmp_path / "config").write_text(
        f"[profile hospital]\nregion = eu-central-1\nendpoint_url = http://127.0.0.1:{port}"
    )
    (tmp_path / "credentials").write_text("[hospital]\naws_access_key_id = ward\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_PROFILE", "hospital")
    assert files.read("s3://bucket/object") == BODY
    assert {key for key, _ in seen} == {"ward"}


def test_keys_that_expire_are_renewed(server, tmp_path, monkeypatch):
    """As with STS and web identities, during a run of days. The second key is asked for because the first is old."""
    port, seen, _ = server
    script = tmp_path / "keys.py"
    script.write_text(
        "import json, pathlib, datetime\n"
        f"calls = pathlib.Path({str(tmp_path / 'calls')!r})\n"
        "number = len(calls.read_text()) if calls.exists() else 0\n"
        "calls.write_text('x' * (number + 1))\n"
        "until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'key{number}', 'SecretAccessKey': 's', 'SessionToken': 't',"
        " 'Expiration': until.isoformat()}))\n"
    )
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for _ in range(3):
        assert files.read("s3://bucket/object") == BODY
    assert len({key for key, _ in seen}) >= 3


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_authority_of_one_s_own(server, tmp_path, monkeypatch):
    port, _, speak_tls = server
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext {names}"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    speak_tls(certificate, key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    assert files.read("s3://bucket/object") == BODY
    filesystem, path = files.arrow_filesystem("s3://bucket/object")
    with filesystem.open_input_file(path) as file:
        assert file.read() == BODY


def test_a_proxy_is_used(server, monkeypatch):
    port, seen, _ = server
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert files.read("s3://bucket/object") == BODY
    assert any("store.invalid" in path for _, path in seen)


def test_a_disk_needs_no_filesystem_of_its_own(tmp_path):
    assert files.arrow_filesystem(f"file://{tmp_path}") == (None, f"file://{tmp_path}")
