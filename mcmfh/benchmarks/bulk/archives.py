"""Archives for the job: rows of a real manifest, and radiographs of 2,000 pixels a side in 16 bits."""

import numpy as np
import pyarrow as pa
from PIL import Image

from mcmfh.archive.manifest import read_manifest, write_manifest
from mcmfh.archive.roots import default_roots, folders_to_add, line_to_add
from mcmfh.phantom.files import as_dicom, hand_over
from mcmfh.phantom.studies import sample_studies
from mcmfh.store import files


def some_rows(manifest: str, items: int, uri: str) -> str:
    """Write a manifest of `items` rows to `uri`, which is returned.

    They are a fixed random choice of the rows of `manifest`, repeated where it has fewer.
    """
    table = read_manifest(manifest).select(["image_uri", "report", "report_uri"])
    order = np.random.default_rng(0).permutation(table.num_rows)
    table = table.take(pa.array(np.resize(order, items)))
    write_manifest(table.append_column("item_id", pa.array([f"item-{n}" for n in range(items)])), uri)
    return uri


def archive_settings(manifest: str) -> list[str]:
    """Overrides that name `manifest`, one of this module's, and let in whatever it lists: its source was chosen."""
    table, roots = read_manifest(manifest), default_roots(manifest)
    listed = [uri for name in ("image_uri", "report_uri") for uri in table[name].to_pylist()]
    return [f"archive.manifest={manifest}", line_to_add(roots, folders_to_add(listed, roots))]


def write_radiographs(items: int, folder: str, side: int = 2000) -> str:
    """`items` phantom radiographs as DICOM, 16 bits, side × side, each with its report; the manifest's URI."""
    studies = [study for study in sample_studies(20 * items + 40, 1) if study.exam.modality == "radiograph"][:items]
    rows = []
    for number, study in enumerate(studies):
        drawn = hand_over(study)
        pixels = np.asarray(Image.fromarray(drawn.shown).resize((side, side), Image.Resampling.BICUBIC), np.float32)
        noise = np.random.default_rng(number).normal(0, 400, (side, side))
        stored = np.clip(pixels * 240 + noise + 2000, 0, 65535).astype(np.uint16)
        uri = files.join(folder, f"{number}.dcm")
        files.create(uri, as_dicom(study, stored, None))
        rows.append({"item_id": f"item-{number}", "image_uri": uri, "report": drawn.report})
    manifest = files.join(folder, "manifest.parquet")
    write_manifest(pa.Table.from_pylist(rows), manifest)
    return manifest
