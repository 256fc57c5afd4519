"""Fitting a lexicon to an archive's training reports, for encoder.name=lexical."""

from mcmfh.archive.loading import load_items
from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.encoders.fitted import FITTED
from mcmfh.encoders.lexicon import fit_lexicon, save_lexicon
from mcmfh.errors import InputError
from mcmfh.pipeline.encoder import current_spec
from mcmfh.pipeline.split import divide
from mcmfh.store import files
from mcmfh.store.layout import encoders_folder
from mcmfh.store.relative import named

DIRECTIONS = 64
MOST_REPORTS = 200_000


def make_lexicon(config: Config, archive: Archive, directions: int = DIRECTIONS) -> str:
    """Fit a lexicon beside the configured encoder on the reports of the training split; returns its URI.

    Nothing of a validation or test item is read. The same reports give the same lexicon.
    Raises InputError where a row of the manifest cannot be trained on, or the reports have too few words.
    """
    if config.encoder.name == "lexical":
        raise InputError("encoder 'lexical' has a lexicon already; set encoder.name to the one that it stands beside")
    spec = current_spec(config, has_gpus=lambda _: False)
    divided = divide(config, archive)
    rows = divided.rows("train").select(["report", "report_uri"]).slice(0, MOST_REPORTS).to_pylist()
    loaded = load_items((row for row in rows if row["report"] or row["report_uri"]), divided.limits)
    lexicon = fit_lexicon([each.report for each in loaded if each.report is not None], directions)
    source = spec.source
    if spec.name in FITTED and source is not None:
        source = named(config.store, files.absolute(source))
    training = {"seen": divided.whom("train").to_json(), "split": divided.split.line(), "reports": len(rows)}
    return save_lexicon(encoders_folder(config.store), lexicon, {"name": spec.name, "source": source}, training)
