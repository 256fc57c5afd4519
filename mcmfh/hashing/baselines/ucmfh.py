"""UCMFH (Xia et al., Information Fusion 2023), own implementation on any embeddings, under two protocols.

A transformer fuses the concatenated image and report vectors of a pair, with attention ACROSS THE BATCH, and one MLP a
modality hashes its half of the result. As released, a query is fused with its own report before it is hashed, and so is
every database item: those codes are returned as "paired_image" and "paired_report", for comparison only. The
honest codes, "image" and "report", see one modality (the other half is zero) and no neighbour.

`Ucmfh` trains as the released code does: a row is a sequence of its own (length 1), so that attention across the batch
first happens in the leaky evaluation; the hash loss weighs .5; Adam with β₁ = .5; batches of 128 and 50 epochs. Its
embeddings are CLIP's, 512 wide. For other widths this project adds a linear adapter to W.

`UcmfhSketch` is this project's first version: attention across the batch in training too, both losses weigh the same,
half the width, the schedule of the other baselines. It stays as a row of its own while it is better.

Shapes: B batch · W width of a modality inside the transformer · K bits.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.base import Pairs
from mcmfh.hashing.baselines.fitting import fit
from mcmfh.hashing.codes import pack_codes

TEMPERATURE = 0.5


class Network(nn.Module):
    """`unit_halves`: the hash MLPs see halves of unit length, as released."""

    def __init__(self, image_width: int, report_width: int, width: int, bits: int, unit_halves: bool = False):
        super().__init__()
        self.width, self.unit_halves = width, unit_halves
        self.image_adapter, self.report_adapter = nn.Linear(image_width, width), nn.Linear(report_width, width)
        layer = nn.TransformerEncoderLayer(2 * width, nhead=4, dim_feedforward=4 * width)
        self.fusion = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.image_hash, self.report_hash = _hash_mlp(width, bits), _hash_mlp(width, bits)

    def fuse(
        self, image: torch.Tensor | None, report: torch.Tensor | None, neighbours: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(image half, report half) [B, W]. A modality that is None is zero.

        Without `neighbours`, rows do not attend to one another.
        """
        rows = len(image if image is not None else report)  # type: ignore[arg-type]
        absent = torch.zeros(rows, self.width)
        left = absent if image is None else F.normalize(self.image_adapter(image))
        right = absent if report is None else F.normalize(self.report_adapter(report))
        token = torch.cat([left, right], 1)
        # torch reads a matrix as [length, width], so that the batch is the sequence, as in the released code.
        fused = self.fusion(token) if neighbours else self.fusion(token[None]).squeeze(0)
        fused = F.normalize(fused)
        return fused[:, : self.width], fused[:, self.width :]

    def hashed(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(image, report): relaxed codes [B, K] in (−1, 1) of both halves."""
        if self.unit_halves:
            left, right = F.normalize(left), F.normalize(right)
        return self.image_hash(left), self.report_hash(right)


def _hash_mlp(width: int, bits: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4096), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4096, bits), nn.Tanh())


def nt_xent(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """NT-Xent over the 2B views (Chen et al. 2020): a view's partner against all other views of both modalities."""
    views = F.normalize(torch.cat([left, right]))
    similarity = views @ views.T / TEMPERATURE
    similarity = similarity.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), -torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(views), device=views.device).roll(len(left)))


@dataclass(frozen=True)
class FusedHash:
    network: Network
    pairs: Pairs
    batch: int

    @torch.inference_mode()
    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        images, reports = (torch.from_numpy(rows).float() for rows in self.pairs.standardised(table))
        codes: dict[str, list[np.ndarray]] = {name: [] for name in ("image", "report", "paired_image", "paired_report")}
        for image, report in zip(images.split(self.batch), reports.split(self.batch)):
            alone = self.network.fuse(image, None, False)[0], self.network.fuse(None, report, False)[1]
            fused = self.network.fuse(image, report, True)
            for prefix, halves in (("", alone), ("paired_", fused)):
                for name, code in zip(("image", "report"), self.network.hashed(*halves)):
                    codes[prefix + name].append(pack_codes(code.numpy()))
        return {name: np.concatenate(parts) for name, parts in codes.items()}


@dataclass(frozen=True)
class Ucmfh:
    """`width` 512 is the released code's."""

    width: int = 512
    epochs: int = 50
    batch: int = 128
    name: str = "UCMFH"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        pairs = Pairs.of(train)
        torch.manual_seed(seed)
        network = Network(pairs.image.shape[1], pairs.report.shape[1], self.width, bits, unit_halves=True)
        images, reports = torch.from_numpy(pairs.image), torch.from_numpy(pairs.report)
        hashes = nn.ModuleList([network.image_hash, network.report_hash])
        of_fusion = nn.ModuleList([network.image_adapter, network.report_adapter, network.fusion])
        fusion_rate, hash_rate = (
            torch.optim.Adam(part.parameters(), rate, (0.5, 0.999))
            for part, rate in ((of_fusion, 1e-4), (hashes, 1e-3))
        )
        # Stepped after every batch and not after every epoch, as released.
        schedule = torch.optim.lr_scheduler.MultiStepLR(hash_rate, milestones=[30, 80], gamma=1.2)
        generator, batch = torch.Generator().manual_seed(seed), min(self.batch, len(images))
        network.train()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(images), generator=generator)[: len(images) // batch * batch].split(batch):
                released_loss(network, images[rows], reports[rows]).backward()
                for optimiser in (fusion_rate, hash_rate):
                    optimiser.step()
                    optimiser.zero_grad()
                schedule.step()
        network.eval()
        return FusedHash(network, pairs, self.batch)


def released_loss(network: Network, images: torch.Tensor, reports: torch.Tensor) -> torch.Tensor:
    """NT-Xent of the fused halves + .5 × NT-Xent of the relaxed codes. No row depends on its neighbours."""
    left, right = network.fuse(images, reports, False)
    return nt_xent(left, right) + 0.5 * nt_xent(*network.hashed(left, right))


@dataclass(frozen=True)
class UcmfhSketch:
    """`width` 512 is the paper's; half of it takes a quarter of the time."""

    width: int = 256
    epochs: int = 5
    batch: int = 256
    name: str = "UCMFH, own sketch"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        pairs = Pairs.of(train)
        torch.manual_seed(seed)
        network = Network(pairs.image.shape[1], pairs.report.shape[1], self.width, bits)
        images, reports = torch.from_numpy(pairs.image), torch.from_numpy(pairs.report)

        def loss(rows: torch.Tensor) -> torch.Tensor:
            left, right = network.fuse(images[rows], reports[rows], True)
            return nt_xent(left, right) + nt_xent(*network.hashed(left, right))

        fit(network, loss, len(images), seed, self.epochs, self.batch)
        return FusedHash(network, pairs, self.batch)
