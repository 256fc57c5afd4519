"""Where the files of an archive's audit are, at its root."""

from mcmfh.store import files
from mcmfh.store.layout import AUDIT

BLOCK = 1000  # heads in a folder, so that the newest is found without listing all


def segments_folder(root: str) -> str:
    """The folder of all sealed lines."""
    return files.join(root, AUDIT, "segments")


def segment_file(root: str, name: str) -> str:
    """The lines that are named by their sha256."""
    return files.join(segments_folder(root), f"{name}.jsonl")


def heads_folder(root: str) -> str:
    """The list of heads, in blocks."""
    return files.join(root, AUDIT, "heads")


def head_file(root: str, number: int) -> str:
    """One head."""
    return files.join(heads_folder(root), f"{number // BLOCK:06d}", f"{number:06d}.json")
