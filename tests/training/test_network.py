"""Workers on several nodes: tests/cluster/test_several_nodes.py trains on them."""

import psutil

from mcmfh.training.network import interface_of


def test_the_interface_of_an_address_is_named():
    assert interface_of("127.0.0.1") == "lo"
    for name, addresses in psutil.net_if_addrs().items():
        assert {interface_of(one.address) for one in addresses if "." in one.address} <= {name}


def test_an_address_of_another_machine_has_none():
    assert interface_of("192.0.2.1") is None
