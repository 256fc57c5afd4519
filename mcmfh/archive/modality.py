"""The two kinds of content that an item may have."""

from typing import Literal, get_args

Modality = Literal["image", "report"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
