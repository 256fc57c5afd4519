"""Tuned towers (`train.towers: tuned`): the packaged encoder's networks, trained on by the archive's own pairs.

Under MCR's masks both towers learn which pairs the guide of the frozen encoder holds to be alike (see guidance.py).
The tuned towers are an encoder like any other: it embeds the archive, and the model is trained on its embeddings.
"""

from typing import Any

from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.console import Advance
from mcmfh.errors import InputError
from mcmfh.pipeline.encoder import with_encoder
from mcmfh.pipeline.pretrain import Pretrained, pretrain_archive
from mcmfh.pretraining.settings import PretrainSettings

# Chosen on labelled validation items of one archive (MedPix).
TUNED: dict[str, Any] = {
    "image_tower": "packaged",
    "report_tower": "packaged_frozen",
    "patch": 32,
    "context": 96,
    "targets": "graded",
    "reconstruction": False,
    "image_mask": 0.4,
    "report_mask": 0.3,
    "temperature": 0.2,
    "epochs": 12,
    "min_steps": 360,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "tower_learning_rate": 1e-4,
}


def tune_towers(config: Config, archive: Archive, progress: Advance | None = None) -> tuple[Config, Pretrained]:
    """Tune the packaged networks on the archive's train pairs, which must be embedded; reused where that was done.

    Returns the configuration with the tuned towers as its encoder, and what came of the training.
    Raises InputError for another encoder than the packaged one, and where `pretrain_archive` does.
    """
    if config.encoder.name != "packaged":
        raise InputError(
            f"train.towers tuned trains the packaged encoder's networks, not '{config.encoder.name}'; set encoder.name "
            "to packaged, or train.towers to frozen"
        )
    done = pretrain_archive(config.model_copy(update={"pretrain": tuning(config.pretrain)}), archive, progress)
    return with_encoder(config, "mcr", done.source), done


def tuning(settings: PretrainSettings) -> PretrainSettings:
    """`settings` of section `pretrain` with TUNED in the place of what is as it is by default."""
    given = settings.model_dump()
    defaults = {name: field.default for name, field in PretrainSettings.model_fields.items()}
    return PretrainSettings(**given | {name: x for name, x in TUNED.items() if given[name] == defaults[name]})
