"""What is checked before an endpoint starts: without access keys it listens on loopback alone."""

import errno
import ipaddress
import socket
from collections.abc import Callable

from mcmfh import ray_session
from mcmfh.config import ServeConfig
from mcmfh.errors import InputError
from mcmfh.serving.fence import haproxy
from mcmfh.serving.keys import configured_keys


def check_start(serve: ServeConfig) -> None:
    """Raise InputError where an endpoint with these settings must not start. Needs no Ray."""
    check_binding(serve)
    configured_keys(serve)  # an endpoint that nobody could enter is not started
    ray_session.check_proxy(serve.guarded)


def check_here(serve: ServeConfig, find: Callable[[], str | None] = haproxy) -> None:
    """Raise InputError where this machine cannot run the endpoint's proxy. Needs no Ray. `find`: as `haproxy`."""
    if serve.guarded and ray_session.starts_haproxy() and find() is None:
        raise InputError(
            "HAProxy, which runs in front of an endpoint with keys, is not installed; pip install 'mcmfh[proxy]', or "
            f"set {ray_session.HAPROXY}=0 to serve at a fraction of the speed and without limits for slow clients"
        )
    check_port(serve.host, serve.port)


def check_port(host: str, port: int) -> None:
    """Raise InputError where a proxy on this machine cannot listen on `host`:`port`. Needs no Ray."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a listener that has just gone is no obstacle
            trial.bind(address)
    except socket.gaierror:
        raise InputError(f"serve.host '{host}' is no address and no name that this machine can look up") from None
    except OSError as error:
        raise InputError(
            {
                errno.EADDRINUSE: f"port {port} is taken on '{host}'; stop its holder or change serve.port",
                errno.EADDRNOTAVAIL: f"serve.host '{host}' is no address of this machine; 0.0.0.0 means all of them",
                errno.EACCES: f"port {port} may not be opened by this user; set a serve.port above 1023",
            }.get(error.errno or 0, f"the endpoint cannot listen on '{host}', port {port}: {error.strerror}")
        ) from None


def check_binding(serve: ServeConfig, listening: str | None = None) -> None:
    """Raise InputError where an endpoint without keys can be reached from other machines.

    listening: the host that a running proxy listens on; before there is one, serve.host counts.
    """
    host = serve.host if listening is None else listening
    if serve.guarded or is_loopback(host):
        return
    whose = f"serve.host '{host}'" if listening is None else f"the proxy of this Ray cluster listens on '{host}', which"
    raise InputError(
        f"{whose} can be reached from other machines and no access key is configured; "
        "make one with mcmfh key new NAME, or use 127.0.0.1"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Names are not looked up: all but localhost count as outside."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
