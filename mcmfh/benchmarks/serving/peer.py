"""What a user would write instead: one process, FastAPI, uvicorn and faiss IndexBinaryFlat over the same codes.

python -m mcmfh.benchmarks.serving.peer FOLDER PORT BUNDLE flat|padded

FOLDER holds codes.npy and names.npy. "padded": codes padded to 32 bits, for which faiss has faster code.
"""

import sys
from typing import Any

import faiss
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from mcmfh.hashing import load_bundle


class Query(BaseModel):
    code: str | None = None
    modality: str | None = None
    report: str | None = None
    k: int = 10


def application(folder: str, bundle_uri: str, padded: bool) -> FastAPI:
    """POST /v1/search → {"hits": [{"item_id", "distance"}]}. One search at a time, on one thread."""
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    codes, names = np.load(f"{folder}/codes.npy"), np.load(f"{folder}/names.npy", mmap_mode="r")
    width = 4 if padded else codes.shape[1]

    def widened(codes: np.ndarray) -> np.ndarray:
        return np.pad(codes, ((0, 0), (0, width - codes.shape[1])))

    index = faiss.IndexBinaryFlat(8 * width)
    index.add(widened(codes))
    bundle = load_bundle(bundle_uri)
    bundle.checked_encoder()
    api = FastAPI()

    @api.post("/v1/search")
    async def search(query: Query) -> dict[str, Any]:
        if query.report:
            code = bundle.hash_reports([query.report])
        else:
            code = np.frombuffer(bytes.fromhex(query.code or ""), np.uint8)[None]
        distances, rows = index.search(widened(code), query.k)
        hits = zip(names[rows[0]].tolist(), distances[0].tolist())
        return {"hits": [{"item_id": name.decode(), "distance": distance} for name, distance in hits]}

    return api


if __name__ == "__main__":
    folder, port, bundle_uri, kind = sys.argv[1:]
    uvicorn.run(
        application(folder, bundle_uri, kind == "padded"),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
    )
