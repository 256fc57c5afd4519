"""Towers, decoders and temperature as one module, so that one DistributedDataParallel holds every trained parameter.

Shapes: b this worker's rows · S image side · N patches · L tokens · V, U visible positions.
"""

import torch
from torch import Tensor, nn

from mcmfh.encoders.mcr_towers.masking import Mask, all_present, mask_patches, mask_tokens, see_all
from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.vocabulary import PAD, Vocabulary
from mcmfh.learning.contrast import learnt_scale
from mcmfh.pretraining import losses
from mcmfh.pretraining.decoders import Decoder
from mcmfh.pretraining.settings import PretrainSettings

MAX_SCALE = 100.0  # as CLIP


class Trainee(nn.Module):
    special_O: Tensor
    salt_L: Tensor

    def __init__(self, settings: PretrainSettings, vocabulary: Vocabulary):
        super().__init__()
        self.settings = settings
        self.model = Mcr(settings.towers, len(vocabulary), settings.seed)
        self.log_scale = nn.Parameter(torch.tensor(1 / settings.temperature).log())
        generator = torch.Generator().manual_seed(settings.seed)
        # For a report's key, a random linear hash of its tokens modulo 2⁶⁴.
        salt_L = torch.randint(-(2**63), 2**63 - 1, (settings.context,), generator=generator)
        self.register_buffer("salt_L", salt_L, persistent=False)
        self.register_buffer("special_O", torch.tensor(vocabulary.special), persistent=False)
        self.decoders = nn.ModuleDict()
        if settings.reconstruction:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed + 1)
                self._add_decoders(len(vocabulary))

    def _add_decoders(self, pieces: int) -> None:
        """Add a decoder for each side that the masks hide something of."""
        from timm.layers import build_sincos2d_pos_embed

        s = self.settings
        if s.image_mask:
            width = self.model.image_tower.width
            position_NH = build_sincos2d_pos_embed([s.grid, s.grid], width // 2)
            self.decoders["image"] = Decoder(width, s.decoder_layers, position_NH, self.model.image_tower.values)
        if s.report_mask:
            width = self.model.report_tower.width
            position_LH = torch.randn(s.context, width // 2) * 0.02
            self.decoders["report"] = Decoder(width, s.decoder_layers, position_LH, pieces)

    def masks(self, tokens_bL: Tensor, image_noise_bN: Tensor, report_noise_bL: Tensor) -> tuple[Mask, Mask]:
        """The masks of this batch's pictures and reports. Special tokens are always visible."""
        s = self.settings
        fixed_bL = torch.isin(tokens_bL, self.special_O)
        reports = mask_tokens(report_noise_bL, tokens_bL != PAD, fixed_bL, s.report_mask)
        return mask_patches(image_noise_bN, s.image_mask), reports

    def forward(
        self,
        pixels_bSS3: Tensor,
        tokens_bL: Tensor,
        image_noise_bN: Tensor,
        report_noise_bL: Tensor,
        words_bLW: Tensor | None = None,
        guide_bG: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss terms by name, of the global batch that these rows belong to; the loss is their sum.

        pixels: uint8, or the float features of packaged_tower.py; tokens: int64, PAD after the end; noise: float32 in
        [0, 1), whose greatest values are hidden; words: see ReportTower; guide: unit rows, for graded targets.
        """
        s = self.settings
        patches_bNP = self.model.image_tower.patches(pixels_bSS3)
        image_mask, report_mask = self.masks(tokens_bL, image_noise_bN, report_noise_bL)
        terms: dict[str, Tensor] = {}
        with torch.autocast(patches_bNP.device.type, torch.bfloat16, enabled=s.amp):
            if s.stream == "dual":
                image = self.model.image(patches_bNP, see_all(all_present(patches_bNP))).vector_BD
                report = self.model.report(tokens_bL, see_all(tokens_bL != PAD), words_bLW).vector_BD
            if s.stream == "masked" or s.reconstruction:
                seen_image = self.model.image(patches_bNP, image_mask)
                seen_report = self.model.report(tokens_bL, report_mask, words_bLW)
            if "image" in self.decoders:
                patches_MP = self.decoders["image"](seen_image.local_BUW, image_mask)
                terms["patches"] = losses.patch_error(patches_MP, patches_bNP, image_mask)
            if "report" in self.decoders:
                pieces_MO = self.decoders["report"](seen_report.local_BUW, report_mask)
                terms["tokens"] = losses.token_error(pieces_MO, tokens_bL, report_mask)
        if s.stream == "masked":
            image, report = seen_image.vector_BD, seen_report.vector_BD
        scale = learnt_scale(self.log_scale, MAX_SCALE)
        if s.targets == "graded":
            assert guide_bG is not None, "graded targets come from a guide"
            return terms | losses.graded_contrast(image, report, guide_bG, s.target_temperature, scale, s.intra)
        key_b = (tokens_bL * self.salt_L[: tokens_bL.shape[1]]).sum(1)
        terms["contrast"] = losses.image_report_contrast(image, report, key_b, scale)
        return terms
