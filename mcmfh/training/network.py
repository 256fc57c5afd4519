"""By which of a node's network interfaces the workers of a training speak to each other.

torch's Gloo takes the interface of the address that the machine's own name stands for. On many machines that is
loopback (Debian writes 127.0.1.1 into /etc/hosts), and the workers of other nodes then connect to themselves. Ray knows
the address at which the other nodes reach this one.
"""

import os
import socket
from typing import Any

import psutil
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

GLOO = "GLOO_SOCKET_IFNAME"


def interface_of(address: str) -> str | None:
    """The name of this machine's interface with the IP address `address`, such as eth0; None where none has it."""
    name: str
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses if one.family in (socket.AF_INET, socket.AF_INET6)):
            return name
    return None


def choose_interface() -> None:
    """Make Gloo use the interface of this node's address in Ray, unless the user has named one."""
    import ray

    name = interface_of(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    if name:
        os.environ.setdefault(GLOO, name)


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


class ReachableTorchConfig(TorchConfig):
    """TorchConfig whose workers reach each other on several nodes."""

    @property
    def backend_cls(self) -> Any:
        return _Backend
