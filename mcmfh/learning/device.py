"""The device that a training runs on."""

import torch

from mcmfh.errors import InputError


def chosen_device(asked: str, key: str) -> str:
    """ "cuda" or "cpu" for "auto" | "cpu" | "cuda", the value of the configuration's `key`.

    Raises InputError for "cuda" on a machine without a GPU.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{key} is cuda but this machine has no GPU; use auto or cpu")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"
