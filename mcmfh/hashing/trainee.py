"""Model and objective as one module, so that one DistributedDataParallel holds every trained parameter."""

import torch
from torch import Tensor, nn

from mcmfh.hashing.losses import Objective
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.settings import TrainSettings


class Trainee(nn.Module):
    def __init__(self, model: Mcmfh, settings: TrainSettings):
        super().__init__()
        self.model = model
        self.objective = Objective(settings)
        self.amp = settings.amp

    def forward(self, image_BD: Tensor, report_BD: Tensor, target_BB: Tensor) -> dict[str, Tensor]:
        """Loss terms of this worker's rows within the global batch that the targets span."""
        with torch.autocast(image_BD.device.type, torch.bfloat16, enabled=self.amp):
            views = self.model(image_BD, report_BD)
        terms: dict[str, Tensor] = self.objective(views, target_BB)
        return terms
