"""The Indiana chest X-rays as they circulate in CSV: `indiana_reports.csv`, `indiana_projections.csv` and pictures.

The same reports as Open-i's (kaggle: raddar/chest-xrays-indiana-university), with `projection` (Frontal | Lateral) as a
column to filter on.
"""

from collections import defaultdict

import pyarrow as pa

from mcmfh.archive.sources.openi import LEAST_LABELLED, headings, report_text
from mcmfh.archive.sources.rows import Row, images_below, keep_labels, manifest_table, read_csv
from mcmfh.store import files


def indiana(folder: str) -> pa.Table:
    """One row for each image, with its report; a report without images is a row of its own. Labels as in `openi`.

    Raises InputError when a CSV file is missing.
    """
    root = files.absolute(folder)
    images = images_below(root)
    projections: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in read_csv(files.join(root, "indiana_projections.csv")):
        projections[line["uid"]].append((line["filename"].removesuffix(".png"), line["projection"]))
    rows: list[Row] = []
    for line in read_csv(files.join(root, "indiana_reports.csv")):
        shared: Row = {
            "study_id": f"CXR{line['uid']}",
            "report": report_text(line["findings"], line["impression"]),
            "labels": headings(line["MeSH"].split(";")),
        }
        paired = [
            {**shared, "item_id": name, "image_uri": images[name], "projection": projection}
            for name, projection in projections[line["uid"]]
            if name in images
        ]
        rows += paired or ([{**shared, "item_id": shared["study_id"]}] if shared["report"] else [])
    return keep_labels(manifest_table(rows, ["projection"]), LEAST_LABELLED)
