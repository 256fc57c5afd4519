"""The version of the code that makes a result: the package's version, and a digest of the sources that it runs through.

A result that the store keeps is named by all that made it. The package's version alone would not do, because it stands
still between releases while the code changes.
"""

import hashlib
from functools import cache
from pathlib import Path

from mcmfh import __version__

_PACKAGE = Path(__file__).parents[1]


@cache
def code_version(*rooms: str) -> str:
    """Such as "0.1.0+9f86d081884c": the version, and the sha256 of the sources in `rooms` (packages or modules)."""
    digest = hashlib.sha256()
    for room in sorted(rooms):
        folder = _PACKAGE / room
        sources = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
        for path in sources:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_PACKAGE).as_posix()} {len(content)}\n".encode() + content)
    return f"{__version__}+{digest.hexdigest()[:12]}"


def training_code() -> str:
    """The version of what a trained bundle depends on."""
    return code_version("archive", "embeddings", "evaluation", "hamming", "hashing", "learning", "training")


def pretraining_code() -> str:
    """The version of what pretrained towers depend on."""
    return code_version("archive", "encoders", "learning", "pretraining", "training")


def evaluation_code() -> str:
    """The version of what scores depend on, beside the bundle."""
    return code_version("embeddings", "evaluation", "hamming", "hashing", "learning", "pipeline", "training")
