"""The shape of MCR's towers: what of the configuration an embedding depends on."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# (width, layers, heads) of both towers. small and base are the sizes of ViT and BERT; tiny is for machines without a
# GPU; packaged is MiniLM, the packaged encoder's report network.
SIZES = {"tiny": (192, 4, 3), "small": (384, 12, 6), "base": (768, 12, 12), "packaged": (384, 6, 12)}
# Towers of the packaged encoder's image network by what their masks hide: see packaged_tower.py.
PACKAGED_TOWERS = {"packaged": "feature", "packaged_pixels": "pixel"}
PACKAGED_PATCH = 32  # pixels a side of one position of EfficientNet-Lite0's last feature map


class TowerSettings(BaseModel):
    """The shape of the towers: together with weights and vocabulary, all that determines an embedding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal["tiny", "small", "base"] = "small"
    # Instead of `size`: a Vision Transformer of timm by name, or one of PACKAGED_TOWERS
    image_tower: str | None = None
    # Instead of `size`: the packaged encoder's, with its vocabulary; packaged_frozen: see towers.py
    report_tower: Literal["packaged", "packaged_frozen"] | None = None
    image_size: int = Field(224, ge=16)  # pixels a side
    patch: int = Field(16, ge=4)
    fit: Literal["squash", "crop", "pad"] = "squash"  # how a picture becomes a square
    context: int = Field(128, ge=8, le=256)  # tokens of a report, longer ones are cut
    embedding: int = Field(256, ge=8)  # D, the width of the common space
    aggregation: Literal["map_first", "pool_first"] = "map_first"  # pool_first is the usual order

    @model_validator(mode="after")
    def _check_grid(self) -> "TowerSettings":
        if self.image_size % self.patch:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch {self.patch}")
        if self.image_tower in PACKAGED_TOWERS and self.patch != PACKAGED_PATCH:
            patches = f"patches of {PACKAGED_PATCH} pixels; set patch={PACKAGED_PATCH}"
            raise ValueError(f"image_tower {self.image_tower} has {patches}")
        return self

    @property
    def masked_space(self) -> str:
        """What masks hide of a picture: "pixel", before the network, or "feature", of a map that saw the whole."""
        return PACKAGED_TOWERS.get(self.image_tower or "", "pixel")

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.image_size // self.patch
