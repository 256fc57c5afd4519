"""TensorBoard scalars of a training run."""

from collections.abc import Callable


def scalar_writer(log_dir: str | None) -> Callable[[int, dict[str, float]], None]:
    """A function of (epoch, scalars by tag) that writes for TensorBoard below the local path `log_dir`.

    Without a `log_dir` the function does nothing.
    """
    if log_dir is None:
        return lambda epoch, scalars: None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(log_dir)

    def write(epoch: int, scalars: dict[str, float]) -> None:
        for tag, value in scalars.items():
            writer.add_scalar(tag, value, epoch)
        writer.flush()

    return write
