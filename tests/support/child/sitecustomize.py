"""What every Python of a job under test loads first, its Ray workers included: this folder leads their PYTHONPATH.

The configured encoder becomes a light one, every write to the store and every encoded unit is a line of
$CHAOS_FOLDER/log. Who is about to create an object whose URI matches $CHAOS_DEATH dies by SIGKILL, once; who is about
to create one that matches $CHAOS_GATE says so ($CHAOS_FOLDER/waiting) and waits for $CHAOS_FOLDER/open.
"""

import importlib.abc
import importlib.machinery
import os
import re
import signal
import sys
import time
from types import ModuleType
from typing import Any

FOLDER = os.environ.get("CHAOS_FOLDER", "")


def note(line: str) -> None:
    with open(f"{FOLDER}/log", "ab", buffering=0) as log:  # one write: lines of several processes do not mix
        log.write(f"{line}\n".encode())


def _light(module: Any) -> None:
    import light_encoder

    module.spec = light_encoder.spec
    module.load = lambda device, source=None: light_encoder.load(device, note)


def _watched(module: Any) -> None:
    create, death, gate = module.create, os.environ.get("CHAOS_DEATH"), os.environ.get("CHAOS_GATE")

    def watched(uri: str, data: bytes) -> bool:
        if death and re.search(death, uri):
            try:
                os.close(os.open(f"{FOLDER}/died", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if gate and re.search(gate, uri):
            open(f"{FOLDER}/waiting", "w").close()
            while not os.path.exists(f"{FOLDER}/open"):
                time.sleep(0.01)
        note(f"create {uri}")
        return bool(create(uri, data))

    module.create = watched


class _Patches(importlib.abc.MetaPathFinder):
    after = {"mcmfh.encoders.packaged": _light, "mcmfh.store.files": _watched}  # noqa: RUF012

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self.after:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.after[name](module)

        loader.exec_module = exec_module
        return spec


if FOLDER:
    sys.meta_path.insert(0, _Patches())
