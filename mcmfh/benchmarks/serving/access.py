"""What access control costs: the endpoint with tokens of an issuer and an audit, against the endpoint with a key alone.

Both are deployed in turns on one Ray, behind the same proxy. The issuer is a server of this process, and the audit is
sealed more often than by default, so that several segments fall into a measurement.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from mcmfh.benchmarks.serving.archives import absolute_root, publish_synthetic, untrained_model
from mcmfh.benchmarks.serving.load import measure
from mcmfh.benchmarks.serving.suite import CONCURRENCY, codes, configuration, report_loads, served
from mcmfh.config import Config
from mcmfh.store import private

SEAL_SECONDS = 2
PEOPLE = 200
AUDIENCE = "mcmfh"
GROUP = "radiology"


def run_access(items: int, rounds: int, seconds: float, say: Callable[[str], None]) -> str:
    """A table: each load without and with tokens and audit, and the ratio of requests/s over the pairs of rounds."""
    with tempfile.TemporaryDirectory(prefix="mcmfh-access-") as temporary, issuer(Path(temporary)) as (address, tokens):
        folder = Path(temporary)
        os.environ["MCMFH_CACHE"] = str(folder / "cache")
        publish_synthetic(absolute_root(folder), untrained_model(f"{folder}/bundles"), items)
        key, plain = configuration(folder)
        arms = {"key": (plain, [key]), "token, audit": (guarded(plain, address, folder), tokens)}
        loads = {"code": (codes(), CONCURRENCY), "report": report_loads()["report"]}
        rates: dict[str, dict[str, list[float]]] = {load: {arm: [] for arm in arms} for load in loads}
        with served(plain):
            from mcmfh.serving.deployment import start

            for turn in range(rounds):
                for arm, (config, secrets) in arms.items():
                    start(config)
                    for load, (bodies, connections) in loads.items():
                        one = measure(config.serve.port, bodies, connections, seconds, key=secrets, warm_up=1)
                        say(f"{turn + 1}: {arm}, {load}: " + ", ".join(f"{k} {v:.3g}" for k, v in one.items()))
                        rates[load][arm].append(one["rate"])
    return table(rates)


def table(rates: dict[str, dict[str, list[float]]]) -> str:
    """Markdown of requests/s: load → arm → one for each round, the arms in the order (without, with)."""
    lines = ["| load | requests/s with a key | with tokens and audit | ratio |", "|---|---|---|---|"]
    for load, by_arm in rates.items():
        without, with_all = by_arm.values()
        ratio = median(b / a for a, b in zip(without, with_all))
        lines.append(f"| {load} | {median(without):.0f} | {median(with_all):.0f} | {ratio:.2f} |")
    return "\n".join(lines)


def guarded(plain: Config, issuer: str, folder: Path) -> Config:
    """`plain` with tokens of `issuer` and an audit, whose files are in `folder`."""
    secret = folder / "secret"
    with open(secret, "w", opener=private.opener) as file:
        file.write(os.urandom(32).hex())
    groups = [{"group": GROUP, "requests_per_second": 1e9}]
    values = plain.model_dump(mode="json")
    values["serve"]["oidc"] = {"issuer": issuer, "audience": AUDIENCE, "groups": groups}
    values["audit"] = {
        "secret_uri": secret.as_uri(),
        "folder": str(folder / "audit"),
        "seal_seconds": SEAL_SECONDS,
    }
    return Config.model_validate(values)


@contextmanager
def issuer(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(the address of an issuer that answers in the block, a token for each of PEOPLE subjects)."""
    key = rsa.generate_private_key(65537, 2048)
    documents = folder / "issuer"
    (documents / ".well-known").mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(documents)))
    address = f"http://127.0.0.1:{server.server_port}"
    discovery = {"issuer": address, "jwks_uri": f"{address}/keys"}
    (documents / ".well-known" / "openid-configuration").write_text(json.dumps(discovery))
    published = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "one"}
    (documents / "keys").write_text(json.dumps({"keys": [published]}))
    claims = {"iss": address, "aud": AUDIENCE, "exp": time.time() + 3600, "groups": ["staff", GROUP]}
    tokens = [jwt.encode({**claims, "sub": f"person-{n}"}, key, "RS256", {"kid": "one"}) for n in range(PEOPLE)]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address, tokens
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass
