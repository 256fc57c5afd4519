"""What it costs to let the contrast see everything: masked-only against dual-stream, same size, same batch, same run.

Dual-stream makes the same masked pass (visible places only) and, for its contrast, one over all patches and tokens.
Times are medians of whole steps (forward, backward, optimiser), the contestants taking turns. Memory is what a fresh
process needs beyond its libraries: weights, gradients, optimiser state and activations at their peak.
"""

import gc
import multiprocessing
import os

import torch

from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.step_time import Stepper, contestants, step_seconds
from mcmfh.processes import peak_resident_bytes, resident_bytes

BAR = 0.6


def peak_bytes(settings: PretrainSettings, device: str = "cpu") -> int:
    """Peak memory of two steps: of the GPU's allocator, or of a fresh process beyond what its libraries take."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_send_peak, args=(settings, device, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _send_peak(settings: PretrainSettings, device: str, sender) -> None:
    small = settings.model_copy(update={"batch_size": 2, "size": "tiny", "image_tower": None, "image_size": 32})
    Stepper(small, device).step()  # loads every library there is to load
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
    pair = contestants(settings)
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
    for what, found, unit in (("step, s", seconds, 1.0), ("peak memory, MB", memory, 1e6)):
        values = [f"{found[name] / unit:.3g}" for name in (masked, dual)]
        lines.append(f"| {what} | {' | '.join(values)} | {found[masked] / found[dual]:.2f} | ≤ {BAR} |")
    return "\n".join(lines)
