"""Where everything lies below a store: the one place that knows the names of folders and files.

    <store>/
      embeddings/<encoder digest>/
        encoder.json                           the identity that the digest is taken of
        units/<unit>.parquet                   results of a unit, one row an item
        texts/<sha256>.f32                     float32 vectors of texts that are no items, in the order of the texts
        done/<unit>.json                       its marker: create-only, written after the results
        textless/<sha256>                      the units of this list hold no report texts any more
      embeddings/devices/<sha256>.json         the kind of device on which an encoder embeds
      bundles/<bundle digest>/                 a trained model (see hashing/bundle.py)
      models/<number>.json                     the bundles in the order of their training
      training/<run>/                          checkpoints of a training
      training/<run>.json                      the bundle that it ended with
      encoders/<digest>/                       pretrained MCR towers (see encoders/mcr_towers/bundle.py), and lexicons
      pretraining/<run>.epochs/, <run>/        checkpoints of a pretraining: here, on Ray workers
      pretraining/<run>.vocab.txt              its word pieces
      pretraining/<run>.json, <run>.<name>.png the towers that it ended with, and what they see
      splits/texts-<digest>.json               digests of the reports that an archive lists as files
      splits/twins-<digest>.json               pairs of nearly equal pictures
      evaluations/<name>/                      evaluations.json and report.html
      evaluations/rows/<sha256>.json           one finished row of a comparison of methods
      evaluations/pretraining-<digest>/        a comparison of pretrainings: as above, cost.json, rows/<row>-<seed>.json
      evaluations/held-out/<digest>.parquet    a manifest of the test split alone
      digests/<sha256>.json                    digests of files that do not verify themselves (see ledger.py)
      phantom-<studies>/manifest.csv           the phantom archive of the demo, with its images and reports
      archives/<name>/
        snapshots/<number>.json                see snapshots/document.py
        shards/<sha256>.<suffix>               see snapshots/shards.py
        tombstones/<sha256>                    bitmap of a snapshot's removed rows
        quarantine/<sha256>.parquet            inputs that became no item, with their reasons
        runs/<code digest>/done/<keys>-<sha256>.json   marker of a hashed shard
        audit/segments/<sha256>.jsonl          who saw what: lines of a chain (see audit/)
        audit/heads/<block>/<number>.json      how far each chain goes
        usage/<day>/<replica>.json             requests of each key on a day, where keys have a quota
        scratch/<run>/                         one job's copy of the manifest, by range of keys; deleted at its end
          parts/<range>/<part>                 rows of one part of the manifest, with fingerprints
          items/<range>                        the range's usable rows in item order
          faults/<range>                       quarantine rows of the others
          plans/<sha256>.parquet               units of work of one range, one row group each
          wanted/<range>                       rows to hash, with the unit and row of their embeddings

Every function returns a URI. `store` is a store's address, `root` an archive's, `embeddings` an encoder's folder.
"""

from mcmfh.store import files

# Folders of an archive; gc decides by them what a file is.
SNAPSHOTS, SHARDS, TOMBSTONES, QUARANTINE, RUNS, SCRATCH, AUDIT, USAGE = (
    "snapshots",
    "shards",
    "tombstones",
    "quarantine",
    "runs",
    "scratch",
    "audit",
    "usage",
)

ARCHIVE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _below(store: str, *parts: str) -> str:
    return files.join(files.absolute(store), *parts)


# Embeddings


def embeddings_root(store: str) -> str:
    """The embeddings of all encoders, each in a folder named by its digest."""
    return _below(store, "embeddings")


def embeddings_folder(store: str, encoder_digest: str) -> str:
    """The embeddings of one encoder."""
    return files.join(embeddings_root(store), encoder_digest)


def device_kind(store: str, encoder: str) -> str:
    """The kind of device on which an encoder embeds; `encoder` is the digest of what it is on every device."""
    return _below(store, "embeddings", "devices", f"{encoder}.json")


def embeddings_beside(embeddings: str, encoder_digest: str) -> str:
    """The embeddings of another encoder of the same store."""
    return files.join(files.parent(embeddings), encoder_digest)


def encoder_identity(embeddings: str) -> str:
    """What the encoder's digest is taken of."""
    return files.join(embeddings, "encoder.json")


def earlier_plans(embeddings: str) -> str:
    """The folder in which earlier versions left the plans of their runs."""
    return files.join(embeddings, "plans")


def textless_marker(embeddings: str, name: str) -> str:
    """The marker of a list of units whose texts were removed."""
    return files.join(embeddings, "textless", name)


def unit_uri(embeddings: str, unit: str) -> str:
    """The results of a unit."""
    return files.join(embeddings, "units", f"{unit}.parquet")


def unit_markers(embeddings: str) -> str:
    """The folder of the markers of finished units."""
    return files.join(embeddings, "done")


def unit_marker(embeddings: str, unit: str) -> str:
    """The marker of a finished unit."""
    return files.join(unit_markers(embeddings), f"{unit}.json")


def encoded_texts(embeddings: str, texts: str) -> str:
    """The vectors of texts that are no items; `texts` is their digest."""
    return files.join(embeddings, "texts", f"{texts}.f32")


# Models and encoders


def bundles_folder(store: str) -> str:
    """Trained models, each in a folder named by its digest."""
    return _below(store, "bundles")


def models_folder(store: str) -> str:
    """The numbered list of trained models."""
    return _below(store, "models")


def training_folder(store: str) -> str:
    """The checkpoints of trainings, each in a folder named by its run."""
    return _below(store, "training")


def finished_training(store: str, run: str) -> str:
    """What a finished training ended with."""
    return files.join(training_folder(store), f"{run}.json")


def encoders_folder(store: str) -> str:
    """Pretrained towers and lexicons, each in a folder named by its digest."""
    return _below(store, "encoders")


def pretraining_folder(store: str) -> str:
    """The checkpoints and results of pretrainings."""
    return _below(store, "pretraining")


def pretraining_checkpoints(pretraining: str, run: str) -> str:
    """Checkpoints of a pretraining in one process; Ray Train has the folder `run` to itself."""
    return files.join(pretraining, f"{run}.epochs")


def pretraining_vocabulary(store: str, run: str) -> str:
    """The word pieces of a pretraining."""
    return files.join(pretraining_folder(store), f"{run}.vocab.txt")


def pretraining_picture(store: str, run: str, name: str) -> str:
    """A picture of what pretrained towers see."""
    return files.join(pretraining_folder(store), f"{run}.{name}.png")


def finished_pretraining(store: str, run: str) -> str:
    """What a finished pretraining ended with."""
    return files.join(pretraining_folder(store), f"{run}.json")


# Evaluations


def split_texts(store: str, name: str) -> str:
    """Digests of an archive's reports, by which a split keeps equal texts together."""
    return _below(store, "splits", f"texts-{name}.json")


def split_twins(store: str, name: str) -> str:
    """Pairs of items of an archive whose pictures are nearly equal."""
    return _below(store, "splits", f"twins-{name}.json")


def evaluation_folder(store: str, name: str) -> str:
    """One evaluation, or one comparison."""
    return _below(store, "evaluations", name)


def evaluation_scores(evaluation: str) -> str:
    """The scores of an evaluation."""
    return files.join(files.absolute(evaluation), "evaluations.json")


def evaluation_page(evaluation: str) -> str:
    """The page that shows the scores of an evaluation."""
    return files.join(files.absolute(evaluation), "report.html")


def comparison_row(store: str, name: str) -> str:
    """One finished row of a comparison of methods."""
    return _below(store, "evaluations", "rows", f"{name}.json")


def pretraining_comparison(store: str, name: str) -> str:
    """A comparison of pretrainings; it is an evaluation's folder."""
    return evaluation_folder(store, f"pretraining-{name}")


def pretraining_cost(comparison: str) -> str:
    """The measured ratio of step times that a comparison of pretrainings rests on."""
    return files.join(comparison, "cost.json")


def pretraining_row(comparison: str, name: str, seed: int) -> str:
    """One finished row of a comparison of pretrainings."""
    return files.join(comparison, "rows", f"{name}-{seed}.json")


def held_out_manifest(store: str, name: str) -> str:
    """A manifest of the test split alone."""
    return _below(store, "evaluations", "held-out", f"{name}.parquet")


# Digests of files that do not verify themselves


def ledger_folder(store: str) -> str:
    """The lists of digests."""
    return _below(store, "digests")


def ledger_uri(store: str, name: str) -> str:
    """One list of digests, named by its content."""
    return files.join(ledger_folder(store), f"{name}.json")


# Archives


def phantom_manifest(store: str, studies: int) -> str:
    """The manifest of the demo's phantom archive."""
    return _below(store, f"phantom-{studies}", "manifest.csv")


def archives_folder(store: str) -> str:
    """All archives."""
    return _below(store, "archives")


def archive_root(store: str, name: str) -> str:
    """The archive `name`: its snapshots, shards and markers."""
    return _below(store, "archives", name)


def store_of(root: str) -> str:
    """The store that holds the archive at `root`."""
    return files.parent(files.parent(files.absolute(root)))


def snapshots_folder(root: str) -> str:
    """The numbered list of an archive's snapshots."""
    return files.join(root, SNAPSHOTS)


def archive_file(root: str, folder: str, name: str, suffix: str = "") -> str:
    """A file of an archive named by its content; `folder` is SHARDS, TOMBSTONES or QUARANTINE."""
    return files.join(root, folder, f"{name}.{suffix}" if suffix else name)


def shard_markers(root: str, code_digest: str) -> str:
    """The markers of the shards that the model `code_digest` hashed."""
    return files.join(root, RUNS, code_digest, "done")


def shard_marker(root: str, code_digest: str, name: str) -> str:
    """The marker of a shard that the model `code_digest` hashed."""
    return files.join(shard_markers(root, code_digest), f"{name}.json")


def scratch_folder(root: str, name: str) -> str:
    """A job's own folder, deleted when the job ends."""
    return files.join(root, SCRATCH, name)


def scratch_parts(scratch: str, keys: str) -> str:
    """The folder of the rows that the parts of a manifest have in one range of keys."""
    return files.join(scratch, "parts", keys)


def scratch_part(scratch: str, keys: str, part: int) -> str:
    """The rows that one part of a manifest has in one range of keys."""
    return files.join(scratch_parts(scratch, keys), f"{part:06d}")


def scratch_items(scratch: str, keys: str) -> str:
    """The usable rows of a range."""
    return files.join(scratch, "items", keys)


def scratch_faults(scratch: str, keys: str) -> str:
    """The quarantine rows of a range."""
    return files.join(scratch, "faults", keys)


def scratch_plan(scratch: str, name: str) -> str:
    """The units of work of a range."""
    return files.join(scratch, "plans", f"{name}.parquet")


def scratch_wanted(scratch: str, keys: str) -> str:
    """The rows of a range that are to be hashed."""
    return files.join(scratch, "wanted", keys)
