"""From a table of embeddings to the input of training: checked pairs, the teacher's guide, the untrained model.

Shapes: N train pairs · D_I, D_T embedding widths · G guide width · C labels.
"""

from dataclasses import dataclass, replace

import numpy as np

from mcmfh.embeddings.seen import Seen
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.hashing.closed_form import closed_form_guide, concepts_teacher
from mcmfh.hashing.coder import Shape
from mcmfh.hashing.guides import COARSE
from mcmfh.hashing.label_weights import TEMPERATURE, label_shares, label_weights, soft_labels
from mcmfh.hashing.mixes import ENSEMBLE, shows_little
from mcmfh.hashing.model import Mcmfh, fit_standard
from mcmfh.hashing.settings import ModelSettings, TrainSettings
from mcmfh.hashing.spread import spread
from mcmfh.hashing.teachers import choose_teacher
from mcmfh.hashing.validation import sample
from mcmfh.learning.run_settings import LEAST_PAIRS
from mcmfh.store import files


@dataclass(frozen=True)
class Prepared:
    """One training problem. `rows` are the train pairs, each [image | report | guide | labels] in float32."""

    settings: TrainSettings
    shape: Shape
    rows: np.ndarray  # float32[N, D_I + D_T + G + C]
    widths: tuple[int, int, int, int]  # D_I, D_T, G, C
    validation: EmbeddingTable
    teacher: str
    temperature: float
    agreement: dict[str, float]  # of each candidate teacher, or what images show of each part; {} without a choice
    seen: Seen  # whom the training sees: its train and validation items
    split: str  # the split in one line, "" where the table is on none
    split_digest: str
    contents: str  # digest of what the training reads of the table
    embedded: tuple[int, int] | None  # (embedded, listed) train and validation items of the archive, where there is one
    unlabelled: int  # train pairs that supervised training leaves out
    fingerprint: str  # digest of everything that the trained weights depend on
    group: np.ndarray  # str[N]: patient or case
    item_id: np.ndarray  # str[N]

    @property
    def image(self) -> np.ndarray:
        return self.rows[:, : self.widths[0]]

    @property
    def report(self) -> np.ndarray:
        return self.rows[:, self.widths[0] : sum(self.widths[:2])]

    @property
    def guide(self) -> np.ndarray:
        return self.rows[:, sum(self.widths[:2]) : sum(self.widths[:3])]

    def first_model(self) -> Mcmfh:
        """The untrained model, with the standardisation of the train pairs."""
        model = self.shape.build()
        assert isinstance(model, Mcmfh)
        fit_standard(model.standardise, self.image, self.report)
        return model


def prepare(table: EmbeddingTable, settings: TrainSettings) -> Prepared:
    """Check the table, choose the labels, fit the teacher on the train pairs.

    Supervised training leaves out the pairs without labels: what they show is unknown, and as negatives they would push
    apart what belongs together.
    Raises InputError when a group stands on two sides, pairs are too few or not finite, or supervised training finds no
    labels.
    """
    table.refuse_straddling()
    if settings.method == "auto" and settings.towers == "tuned":
        # Towers that learnt the guide leave the closed form nothing to add: the network found more on two archives.
        settings = settings.model_copy(update={"method": "mcmfh"})
    contents_of_table = training_digest(table, settings)
    embedded = table.coverage.of("train", "validation") if table.coverage else None
    table = table.select(table.paired)
    table = _labelled_as_chosen(table, settings)
    if settings.supervised and not table.labels.any():
        which = f" that begin with {', '.join(settings.labels)}" if settings.labels else ""
        raise InputError(f"supervised training found no labels{which}; add them or set supervised: false")
    train = table.split == "train"
    unlabelled = int((train & ~table.labelled).sum()) if settings.supervised else 0
    if settings.supervised:
        train &= table.labelled
    if train.sum() < LEAST_PAIRS:
        what = "image, report and labels" if settings.supervised else "image and report"
        raise InputError(f"{train.sum()} train items have {what}; training needs {LEAST_PAIRS} or more")
    for name, x in (("image", table.image), ("report", table.report)):
        if not np.isfinite(x).all():
            bad = table.item_id[~np.isfinite(x).all(1)]
            raise InputError(f"{len(bad)} {name} embeddings are not finite (first: {bad[0]}); embed them again")
    image, report = table.image[train], table.report[train]
    validation = table.of_split("validation")
    read = _concept_inputs(table.select(train), settings) if settings.reads_concepts else []
    guide = np.empty((len(image), 0), np.float32)
    teacher, temperature, shown, agreement = "none", 1.0, dict[str, float](), dict[str, float]()
    if settings.method in ("closed_form", "auto"):
        closed_form = closed_form_guide(table, train, settings)
        guide, teacher, shown = closed_form.rows, closed_form.name, closed_form.shown
        if settings.method == "auto":
            network = {"method": "mcmfh", "ensemble": settings.ensemble or ENSEMBLE}
            chosen_method = network if shows_little(shown) else {"method": "closed_form", "ensemble": 0}
            settings = settings.model_copy(update=chosen_method)
        if settings.method == "closed_form":
            settings = settings.model_copy(update={"guide_width": guide.shape[1]})
    by_teacher = settings.method == "mcmfh" and not settings.supervised and settings.targets == "graded"
    if by_teacher and settings.teacher == "concepts":
        guide = concepts_teacher(table.select(train), settings)
        teacher, temperature = "concepts", settings.temperature or COARSE.temperature
    elif by_teacher:
        held_out = sample(validation)
        chosen, guide, agreement = choose_teacher(
            settings.teacher,
            (_standard(image, image), _standard(report, report)),
            (_standard(held_out.image, image), _standard(held_out.report, report)),
        )
        teacher, temperature = chosen.name, settings.temperature or chosen.temperature
    labels = table.labels[train] if settings.supervised else table.labels[train][:, :0]
    if settings.supervised and settings.method == "mcmfh" and settings.targets == "graded":
        weights = label_weights(labels, table.label_names, dict(settings.family_weights))
        guide, labels = label_shares(labels, weights), soft_labels(labels, table.label_names)
        teacher, temperature = "labels", settings.temperature or TEMPERATURE
    settings = settings.long_enough(len(image) // min(len(image), settings.batch_size))
    parts = (image, report, guide, labels)
    rows = np.concatenate([part.astype(np.float32) for part in parts], 1)
    model_settings = ModelSettings(**settings.model_dump(include=set(ModelSettings.model_fields)))
    shape = Shape(model_settings, image.shape[1], report.shape[1], settings.all_bits, settings.seed)
    # The guide is left out: its last bits may depend on how many threads the linear algebra uses.
    contents = [files.digest(part.tobytes()) for part in (image, report, parts[3])]
    fingerprint = files.digest([settings.work, contents, teacher, temperature, *read])
    seen = Seen.of_table(table.select(train | (table.split == "validation")))
    widths = (image.shape[1], report.shape[1], guide.shape[1], parts[3].shape[1])
    return Prepared(
        settings,
        shape,
        rows,
        widths,
        validation,
        teacher,
        temperature,
        shown | agreement,
        seen,
        table.split_line,
        table.split_digest,
        contents_of_table,
        embedded,
        unlabelled,
        fingerprint,
        table.group[train],
        table.item_id[train],
    )


def training_digest(table: EmbeddingTable, settings: TrainSettings) -> str:
    """sha256 of all that a training with these settings reads of `table`; nothing of the test items is read.

    Labels of train items count in supervised training alone. Those of validation items always do: they calibrate.
    """
    table = _labelled_as_chosen(table.select(table.paired), settings)
    train, validation = (table.of_split(split) for split in ("train", "validation"))
    content = "image", "report", "group"
    read = _concept_inputs(train, settings) if settings.reads_concepts else []
    return files.digest(
        [
            *read,
            train.digest(*content, *(("labels",) if settings.supervised else ())),
            validation.digest(*content, "study", "text_key", "labels"),
        ]
    )


def _concept_inputs(train: EmbeddingTable, settings: TrainSettings) -> list[str]:
    """Digests of the concepts, and of what the reports of train pairs assert and mention."""
    read = [
        "" if train.asserted is None else train.digest("asserted"),
        "" if train.concepts is None else train.concepts.digest,
    ]
    if settings.method in ("closed_form", "auto") and settings.reading == "clauses":
        read.append("" if train.mentions is None else train.digest("mentions"))
    return read


def _labelled_as_chosen(table: EmbeddingTable, settings: TrainSettings) -> EmbeddingTable:
    """The table with only the labels whose names begin with one of settings.labels."""
    chosen = [i for i, name in enumerate(table.label_names) if name.startswith(settings.labels or "")]
    return replace(table, labels=table.labels[:, chosen], label_names=tuple(table.label_names[i] for i in chosen))


def _standard(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (x - train.mean(0)) / spread(train).astype(train.dtype)
    return standard
