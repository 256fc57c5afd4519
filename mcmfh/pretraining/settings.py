"""Every switch of MCR pretraining in one frozen object: section `pretrain` of ray_config.yaml.

MCR (arXiv 2312.15840) publishes two ideas. Masked images and masked reports are the SOLE input of contrast and
reconstruction. Local features are mapped to the common space before they are aggregated. All numbers here are this
project's own, after MAE (He et al. 2022) and MRM (Zhou et al. 2023).
"""

from typing import Literal

from pydantic import Field, model_validator

from mcmfh.encoders.mcr_towers.settings import PACKAGED_TOWERS, TowerSettings
from mcmfh.learning.run_settings import RunSettings


class PretrainSettings(RunSettings, TowerSettings):
    """Section `pretrain` of ray_config.yaml."""

    image_weights: str | None = None  # URI of a safetensors file of timm or open_clip: warm start of the image tower
    vocabulary: str | None = None  # URI of a WordPiece vocab.txt; None: trained on the archive's reports
    vocabulary_size: int = Field(8192, ge=64)

    # graded: by the cosines of a guide, see pipeline/guidance.py;  onehot: each pair is like itself alone
    targets: Literal["onehot", "graded"] = "onehot"
    target_temperature: float = Field(0.2, gt=0)  # of the graded targets
    intra: float = Field(0.5, ge=0)  # weight of the contrast within each modality, with graded targets
    stream: Literal["masked", "dual"] = "masked"  # dual: the contrast gets a second, unmasked pass
    reconstruction: bool = True
    image_mask: float = Field(0.75, ge=0, lt=1)
    report_mask: float = Field(0.5, ge=0, lt=1)
    decoder_layers: int = Field(2, ge=1)
    temperature: float = Field(0.07, ge=0.01)  # first value; it is learnt, and its reciprocal is 100 at most

    epochs: int = Field(100, ge=1)
    batch_size: int = Field(256, ge=2)  # pairs in one contrast, over all workers
    accumulate: int = Field(1, ge=1)  # batches whose gradients are averaged for one step
    learning_rate: float = Field(5e-4, gt=0)
    tower_learning_rate: float | None = Field(None, gt=0)  # of warm-started towers; None: learning_rate
    weight_decay: float = Field(0.05, ge=0)
    clip: float = Field(1.0, gt=0)
    amp: bool = False  # bfloat16 where it is safe

    @model_validator(mode="after")
    def _check_batches(self) -> "PretrainSettings":
        if self.stream == "masked" and max(self.image_mask, self.report_mask) == 0 and self.reconstruction:
            raise ValueError("reconstruction needs image_mask or report_mask above 0")
        if self.image_tower in PACKAGED_TOWERS and self.image_weights:
            raise ValueError(f"image_tower {self.image_tower} brings its own weights; take out image_weights")
        if self.report_tower and self.vocabulary:
            raise ValueError(f"report_tower {self.report_tower} brings its own vocabulary; take out vocabulary")
        return self

    @property
    def frozen_stages(self) -> bool:
        """Whether training begins behind frozen stages on both sides, so that its input is the same in every epoch."""
        return self.masked_space == "feature" and self.report_tower == "packaged_frozen"

    @property
    def towers(self) -> TowerSettings:
        """The settings that the towers are built from."""
        return TowerSettings(**self.model_dump(include=set(TowerSettings.model_fields)))
