"""Metrics name the replica that answered: by its own process, whichever process imported the module."""

import os

from mcmfh.serving.metrics import Metrics


def test_the_replica_is_the_process_that_made_the_metrics():
    assert f'mcmfh_replica{{replica="{os.getpid()}"}} 1.0' in Metrics().text().decode()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:  # the module was imported by the parent
        os.write(writer, Metrics().text())
        os._exit(0)
    os.waitpid(child, 0)
    assert f'mcmfh_replica{{replica="{child}"}} 1.0' in os.read(reader, 1 << 16).decode()
    assert 'mcmfh_replica{replica="west"} 1.0' in Metrics("west").text().decode()
