"""What Ray Serve says of the endpoint, in an operator's words."""

from typing import Any


def reason(message: str) -> str:
    """The last line of Serve's `message`, which may be a traceback; without the class of the exception."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("mcmfh.errors.InputError: ") if lines else "Ray Serve gives no reason"


def described(application: dict[str, Any], proxies: dict[str, Any], port: int) -> list[str]:
    """A line for the application, one for each of its replicas, and one for the proxy of each node.

    application, proxies: as in Serve's `ServeInstanceDetails`.
    """
    told = f": {reason(application['message'])}" if application["message"] else ""
    lines = [f"endpoint {application['status']}{told}"]
    for name, deployment in application["deployments"].items():
        if deployment["message"]:
            lines.append(f"{name} {deployment['status']}: {reason(deployment['message'])}")
        lines += [
            f"{name} {replica['replica_id']} {replica['state']} on {replica['node_ip'] or 'no node yet'}"
            for replica in deployment["replicas"]
        ]
    return lines + [f"proxy {proxy['status']} on {proxy['node_ip']}:{port}" for proxy in proxies.values()]
