"""Writes the whole phantom archive into a folder or a bucket:

manifest.csv                      one row a study
images/S000000.{dcm,png,jpg}      reports/S000000.txt (half of the reports stand in the manifest)
broken.json                       which rows are broken, and the reason a job must give; no job reads it
phantom.json                      the parameters, written last
"""

import csv
import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from mcmfh.archive.splits import split_of
from mcmfh.errors import InputError
from mcmfh.phantom.broken import plan_damage
from mcmfh.phantom.files import Handover, hand_over
from mcmfh.phantom.studies import Study, sample_studies
from mcmfh.store import files

VERSION = 2  # raise it with every change that gives other files for the same seed
BROKEN_FRACTION = 0.03


def write_phantom(root: str, studies: int = 1200, seed: int = 0) -> str:
    """Write `studies` rows (at least 10) below the URI `root`. Returns the manifest's URI.

    Equal seeds give equal bytes. A complete phantom of the same parameters is kept. Raises InputError where `root`
    holds another phantom.
    """
    root = files.absolute(root)
    manifest, seal = files.join(root, "manifest.csv"), files.join(root, "phantom.json")
    parameters = {"studies": studies, "seed": seed, "version": VERSION}
    if studies < 10:
        raise InputError(f"a phantom of {studies} studies is too small; ask for 10 or more")
    if files.exists(seal):
        if files.read_json(seal) != parameters:
            raise InputError(f"another phantom archive stands at '{root}'; give an empty folder")
        return manifest
    sampled = sample_studies(studies, seed)
    damage = plan_damage(studies, BROKEN_FRACTION, seed)
    rows, broken = [], []
    writing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(16, thread_name_prefix="put") as pool:
        for number, study in enumerate(sampled):
            handover = hand_over(study)
            if breakage := damage.get(number):
                handover = breakage.apply(handover, study)
                broken.append(
                    {"row": number, "item_id": handover.item_id, "kind": breakage.kind, "reason": breakage.reason}
                )
            rows.append(_row(study, handover))
            writing.append(pool.submit(_put, root, handover))
            if len(writing) > 64:
                writing.popleft().result()
        for future in writing:
            future.result()
    files.put(manifest, _table(rows))
    files.put(files.join(root, "broken.json"), files.canonical_json(broken))
    files.put(seal, files.canonical_json(parameters))
    return manifest


def _put(root: str, handover: Handover) -> None:
    if handover.image is not None:
        files.put(files.join(root, "images", handover.image_name), handover.image)
    if handover.report_name:
        files.put(files.join(root, "reports", handover.report_name), handover.report.encode())


def _row(study: Study, handover: Handover) -> dict[str, str]:
    return {
        "item_id": handover.item_id,
        "study_id": handover.stem,
        "group": study.patient.name,
        "image_uri": f"images/{handover.image_name}",
        "report": "" if handover.report_name else handover.report,
        "report_uri": f"reports/{handover.report_name}" if handover.report_name else "",
        "labels": "|".join(study.labels),
        "split": split_of(study.patient.name),
        "date": study.date.isoformat(),
        "modality": study.exam.modality,
        "region": study.exam.region,
    }


def _table(rows: list[dict[str, str]]) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()
