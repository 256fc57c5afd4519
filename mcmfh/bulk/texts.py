"""Texts that are no items of the archive, such as concepts, encoded as Ray tasks. What is encoded once is kept."""

from collections.abc import Sequence

import numpy as np
import ray

from mcmfh.encoders import EncoderSpec, load_encoder
from mcmfh.store import files
from mcmfh.store.layout import embeddings_folder, encoded_texts
from mcmfh.store.sealed import once_bytes

PART = 1024  # texts a task: about a minute on one core


def encode_texts(texts: Sequence[str], spec: EncoderSpec, store: str, gpus: float = 0.0) -> np.ndarray:
    """float32[N, D_T] of the texts; equal ones are encoded once. `gpus`: of each task."""
    unique = sorted(set(texts))
    parts = [unique[start : start + PART] for start in range(0, len(unique), PART)]
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=8, retry_exceptions=[OSError])(encode_part)  # type: ignore[call-overload]
    ray.get([task.remote(part, spec, store) for part in parts])
    encoded = [encode_part(part, spec, store) for part in parts]
    vectors = np.concatenate([np.empty((0, spec.report_width), np.float32), *encoded])
    row = {text: i for i, text in enumerate(unique)}
    found: np.ndarray = vectors[[row[text] for text in texts]]
    return found


def encode_part(texts: Sequence[str], spec: EncoderSpec, store: str) -> np.ndarray:
    """float32[N, D_T] of one part, from the store where it is there."""

    def encoded() -> bytes:
        encoder = load_encoder(spec.name, spec.device, spec.source)
        return encoder.encode_reports(list(texts), spec.batch_size).tobytes()

    uri = encoded_texts(embeddings_folder(store, spec.digest), files.digest(list(texts)))
    return np.frombuffer(once_bytes(uri, encoded), np.float32).reshape(len(texts), spec.report_width)
