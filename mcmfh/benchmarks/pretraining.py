"""The cost of a second, unmasked pass for the contrast: masked-only against dual-stream at equal size and batch.

Dual-stream makes the same masked pass (visible positions only) and, for its contrast, one over all patches and tokens.
Times are medians of whole steps (forward, backward, optimiser), which alternate. Memory is the peak of a fresh process
beyond its libraries: weights, gradients, optimiser state and activations.
"""

import gc
import multiprocessing
import os
from multiprocessing.connection import Connection

import torch

from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.step_time import Stepper, both_streams, step_seconds
from mcmfh.processes import peak_resident_bytes, resident_bytes

BAR = 0.6


def peak_bytes(settings: PretrainSettings, device: str = "cpu") -> int:
    """Peak memory of two steps: in the GPU's allocator, or of a fresh process beyond its libraries."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_send_peak, args=(settings, device, sender))
    process.start()
    sender.close()
    try:
        return int(receiver.recv())
    finally:
        process.join()


def _send_peak(settings: PretrainSettings, device: str, sender: Connection) -> None:
    small = settings.model_copy(update={"batch_size": 2, "size": "tiny", "image_tower": None, "image_size": 32})
    Stepper(small, device).step()  # loads every library, which must not count
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = resident_bytes(os.getpid())
    stepper = Stepper(settings, device)
    for _ in range(2):
        stepper.step()
    sender.send(torch.cuda.max_memory_allocated() if device == "cuda" else peak_resident_bytes(os.getpid()) - before)


def run(settings: PretrainSettings, rounds: int = 5) -> str:
    """The table, as Markdown."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pair = both_streams(settings)
    seconds = step_seconds(pair, rounds, device)
    memory = {name: peak_bytes(each, device) for name, each in pair.items()}
    masked, dual = pair
    lines = [
        f"size {settings.size}, {settings.image_size} px, context {settings.context}, batch {settings.batch_size}, "
        f"{'bfloat16' if settings.amp else 'float32'}, {device}, {torch.get_num_threads()} threads",
        "",
        f"| | {masked} | {dual} | ratio | bar |",
        "|---|---|---|---|---|",
    ]
    for what, measured, unit in (("step, s", seconds, 1.0), ("peak memory, MB", memory, 1e6)):
        values = [f"{measured[name] / unit:.3g}" for name in (masked, dual)]
        lines.append(f"| {what} | {' | '.join(values)} | {measured[masked] / measured[dual]:.2f} | ≤ {BAR} |")
    return "\n".join(lines)
