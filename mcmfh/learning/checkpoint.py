"""A checkpoint at the end of an epoch as one safetensors blob: weights, optimiser state, epoch, the run's fingerprint.

It needs no state of a random generator, because both trainings seed theirs anew in every epoch.
"""

import json

import safetensors.torch
import torch
from torch import nn

from mcmfh.errors import InputError


def pack_state(module: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, fingerprint: str) -> bytes:
    """The checkpoint after `epoch` (counted from 0)."""
    tensors = {f"module.{name}": x for name, x in module.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": x for name, x in state.items()}
    metadata = {"epoch": str(epoch), "fingerprint": fingerprint}
    return safetensors.torch.save({name: x.detach().cpu().contiguous() for name, x in tensors.items()}, metadata)


def unpack_state(
    data: bytes, fingerprint: str, module: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> int:
    """Load a checkpoint into `module` and `optimizer`; returns the next epoch.

    Raises InputError when its fingerprint is another run's."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    if header["fingerprint"] != fingerprint:
        raise InputError("this run name has a checkpoint of other settings or data; choose another run name")
    tensors = safetensors.torch.load(data)
    module.load_state_dict({n.removeprefix("module."): x for n, x in tensors.items() if n.startswith("module.")})
    if optimizer is not None:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, x in tensors.items():
            if name.startswith("optimizer."):
                _, i, entry = name.split(".")
                state.setdefault(int(i), {})[entry] = x
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(header["epoch"]) + 1
