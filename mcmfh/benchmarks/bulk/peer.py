"""clip-retrieval's inference, to compare the embedding job with: the same open_clip model, images and reports."""

import io
import tarfile
from pathlib import Path

from mcmfh.archive.manifest import read_manifest
from mcmfh.benchmarks.bulk import clip_retrieval_inference
from mcmfh.errors import InputError
from mcmfh.store import files

SHARDS = 2  # one for each of its reading processes


def write_shards(manifest: str, folder: Path) -> str:
    """Write the items of a manifest as a webdataset, N.jpg and N.txt in SHARDS tars; returns the tars' pattern.

    Raises InputError when an image is not JPEG.
    """
    rows = read_manifest(manifest).select(["image_uri", "report"]).to_pylist()
    for shard in range(SHARDS):
        with tarfile.open(folder / f"items-{shard}.tar", "w") as tar:
            for number in range(shard, len(rows), SHARDS):
                image = files.read(rows[number]["image_uri"])
                if not image.startswith(b"\xff\xd8"):
                    raise InputError("clip-retrieval is given JPEG files; take a manifest that lists no others")
                for kind, data in (("jpg", image), ("txt", rows[number]["report"].encode())):
                    entry = tarfile.TarInfo(f"{number:09}.{kind}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    return f"{folder}/items-{{0..{SHARDS - 1}}}.tar"


def command(python: Path, model: str, items: str, output: Path) -> list[str]:
    """The command that runs clip-retrieval's inference with the Python that has it installed."""
    return [str(python), clip_retrieval_inference.__file__, model, items, str(output), str(SHARDS)]
