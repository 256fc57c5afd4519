"""clip-retrieval's inference beside the embedding job: the same open_clip model, images and reports."""

import io
import tarfile
from pathlib import Path

from mcmfh import storage
from mcmfh.archive.manifest import read_manifest
from mcmfh.bulk.benchmark import clip_retrieval_inference
from mcmfh.errors import InputError


def write_tar(manifest: str, uri: Path) -> None:
    """The items of a manifest as a webdataset: N.jpg and N.txt of each. Raises InputError where one is no JPEG."""
    rows = read_manifest(manifest).select(["image_uri", "report"]).to_pylist()
    with tarfile.open(uri, "w") as tar:
        for number, row in enumerate(rows):
            image = storage.read(row["image_uri"])
            if not image.startswith(b"\xff\xd8"):
                raise InputError("clip-retrieval is given JPEG files; take a manifest that lists no others")
            for name, data in ((f"{number:09}.jpg", image), (f"{number:09}.txt", row["report"].encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


def command(python: Path, model: str, items: Path, output: Path) -> list[str]:
    """What runs clip-retrieval's inference, under the Python that has it."""
    return [str(python), clip_retrieval_inference.__file__, model, str(items), str(output)]
