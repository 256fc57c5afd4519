"""What a training run finds on its own machine: a device, and a folder for its scalars."""

from collections.abc import Callable

import torch

from mcmfh.errors import InputError


def chosen_device(asked: str, key: str) -> str:
    """ "cuda" or "cpu" for "auto" | "cpu" | "cuda" of the configuration's `key`. Raises InputError without that GPU."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{key} is cuda but this machine has no GPU; use auto or cpu")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def scalar_writer(log_dir: str | None) -> Callable[[int, dict[str, float]], None]:
    """A function of (epoch, scalars by tag) that writes for TensorBoard below the local path `log_dir`, or nowhere."""
    if log_dir is None:
        return lambda epoch, scalars: None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(log_dir)

    def write(epoch: int, scalars: dict[str, float]) -> None:
        for tag, value in scalars.items():
            writer.add_scalar(tag, value, epoch)
        writer.flush()

    return write
