"""MCMFH on embeddings: standardise → (vote) → hash head per modality; in training a fused pair teaches both.

Shapes: B batch · D_I, D_T embedding widths · D token width · K bits · E experts.
A query has one modality. Accordingly `logits` computes the code of an image or a report from that input alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from mcmfh.hashing.fusion import FusionTransformer
from mcmfh.hashing.heads import HashHead
from mcmfh.hashing.settings import ModelSettings
from mcmfh.hashing.spread import spread
from mcmfh.hashing.voting import DropoutVoting

Logits = dict[int, Tensor]


class Standardise(nn.Module):
    """(x − mean) / sd, by the train split. Both are buffers, so that they are stored with the weights."""

    mean_D: Tensor
    sd_D: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(width))
        self.register_buffer("sd_D", torch.ones(width))

    def forward(self, x_BD: Tensor) -> Tensor:
        return (x_BD - self.mean_D) / self.sd_D


def fit_standard(standardise: nn.ModuleDict, image_ND: np.ndarray, report_ND: np.ndarray) -> None:
    """Set mean and sd to those of the train pairs; see `spread` for a small sd."""
    for name, x in (("image", image_ND), ("report", report_ND)):
        part = standardise[name]
        assert isinstance(part, Standardise)
        part.mean_D.copy_(torch.from_numpy(x.mean(0, dtype=np.float64)))
        part.sd_D.copy_(torch.from_numpy(spread(x)))


@dataclass
class Views:
    """A batch as the loss sees it. What the settings switch off stays empty."""

    image: Logits
    report: Logits
    fused: Logits = field(default_factory=dict)
    tokens_B2D: Tensor | None = None
    gates: list[Tensor] = field(default_factory=list)


class Mcmfh(nn.Module):
    """The whole network. Parts that the settings switch off are not built."""

    def __init__(self, settings: ModelSettings, image_width: int, report_width: int, bits: Sequence[int], seed: int):
        super().__init__()
        s = self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.standardise = nn.ModuleDict({"image": Standardise(image_width), "report": Standardise(report_width)})
            widths = {"image": image_width, "report": report_width}
            self.adapter, self.voting = nn.ModuleDict(), nn.ModuleDict()
            if s.voting != "off" or s.fusion:
                for modality, width in widths.items():
                    self.adapter[modality] = nn.Linear(width, s.width)
                    widths[modality] = s.width
                    if s.voting != "off":
                        self.voting[modality] = DropoutVoting(s.width, s.votes, s.vote_dropout, s.voting == "trained")
            shape = (s.hidden, bits, s.input_dropout, s.dropout, s.activation)
            if not s.missing_token:
                self.heads = nn.ModuleDict({modality: HashHead(width, *shape) for modality, width in widths.items()})
            if s.fusion:
                self.fusion = FusionTransformer(
                    s.width,
                    s.layers,
                    s.attention_heads,
                    s.expert_hidden,
                    s.experts,
                    s.top_k,
                    s.missing_token,
                    s.missing_dropout,
                )
                self.fused_head = HashHead(2 * s.width, *shape)

    def _embed(self, modality: str, x: Tensor) -> Tensor:
        x = self.standardise[modality](x)
        for part in (self.adapter, self.voting):
            if modality in part:
                x = part[modality](x)
        return x

    def _fuse(self, image_BD: Tensor | None, report_BD: Tensor | None) -> tuple[Logits, Tensor, list[Tensor]]:
        tokens_B2D, gates = self.fusion(image_BD, report_BD)
        return self.fused_head(tokens_B2D.flatten(1)), tokens_B2D, gates

    def _hash(self, modality: str, x_BD: Tensor) -> Logits:
        if self.settings.missing_token:
            return self._fuse(*((x_BD, None) if modality == "image" else (None, x_BD)))[0]
        logits: Logits = self.heads[modality](x_BD)
        return logits

    def forward(self, image_BD: Tensor, report_BD: Tensor) -> Views:
        """The views of a batch of pairs, for the loss."""
        image_BD, report_BD = self._embed("image", image_BD), self._embed("report", report_BD)
        views = Views(self._hash("image", image_BD), self._hash("report", report_BD))
        if self.settings.fusion:
            views.fused, views.tokens_B2D, views.gates = self._fuse(image_BD, report_BD)
        return views

    def logits(self, image: Tensor | None = None, report: Tensor | None = None) -> dict[str, Logits]:
        """{"image" | "report": {K: float[B, K]}} of the inputs that are not None, each from its input alone."""
        given = {"image": image, "report": report}
        return {name: self._hash(name, self._embed(name, x)) for name, x in given.items() if x is not None}

    def fused_logits(self, image: Tensor, report: Tensor) -> Logits:
        """{K: float[B, K]} of items that have both modalities. Needs fusion."""
        return self._fuse(self._embed("image", image), self._embed("report", report))[0]
