"""The two towers: ViT over the visible patches and BERT over the visible tokens.

Shapes: B batch · S image side · N patches · P values of a patch · V visible patches · L tokens · U visible
tokens · W tower width. Hidden positions are not computed: a quarter of the patches costs a quarter of the tower.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcmfh.encoders.mcr_towers.masking import Mask
from mcmfh.encoders.mcr_towers.settings import SIZES, TowerSettings
from mcmfh.encoders.mcr_towers.vocabulary import PAD
from mcmfh.errors import InputError


class ImageTower(nn.Module):
    """A Vision Transformer of timm (Dosovitskiy et al. 2021), of `settings.size` or one of timm's by name."""

    mean_P: Tensor
    deviation_P: Tensor

    def __init__(self, settings: TowerSettings):
        super().__init__()
        self.patch = settings.patch
        self.values = 3 * settings.patch**2
        self.vit = _make_vit(settings)
        self.width: int = self.vit.embed_dim
        statistics = (self.vit.pretrained_cfg or {}) if settings.image_tower else {}
        for name, key, usual in (("mean_P", "mean", (0.5,) * 3), ("deviation_P", "std", (0.25,) * 3)):
            channels = torch.tensor(statistics.get(key, usual)) * 255
            self.register_buffer(name, channels.repeat_interleave(settings.patch**2), persistent=False)

    def patches(self, pixels_BSS3: Tensor) -> Tensor:
        """float32[B, N, P] of uint8[B, S, S, 3], standardised; values in the order (channel, y, x)."""
        B, S, _, _ = pixels_BSS3.shape
        grid, p = S // self.patch, self.patch
        tiled = pixels_BSS3.view(B, grid, p, grid, p, 3).permute(0, 1, 3, 5, 2, 4)
        return (tiled.reshape(B, grid * grid, 3 * p * p).float() - self.mean_P) / self.deviation_P

    def forward(self, patches_BNP: Tensor, mask: Mask) -> Tensor:
        """float[B, V, W]: local features of the visible patches."""
        vit, tokens = self.vit, self.vit.num_prefix_tokens
        weight_WP = vit.patch_embed.proj.weight.flatten(1)
        position_NW = vit.pos_embed[0, -patches_BNP.shape[1] :]
        x_BVW = F.linear(mask.take(patches_BNP), weight_WP, vit.patch_embed.proj.bias) + position_NW[mask.index_BU]
        if tokens:
            prefix = torch.cat([x for x in (vit.cls_token, vit.reg_token) if x is not None], 1)
            if not vit.no_embed_class:
                prefix = prefix + vit.pos_embed[:, :tokens]
            x_BVW = torch.cat([prefix.expand(len(x_BVW), -1, -1), x_BVW], 1)
        local_BVW: Tensor = vit.norm(vit.blocks(vit.norm_pre(x_BVW)))[:, tokens:]
        return local_BVW


def _make_vit(settings: TowerSettings) -> Any:
    import timm
    from timm.layers import build_sincos2d_pos_embed
    from timm.models.vision_transformer import VisionTransformer

    shape: dict[str, Any] = {"img_size": settings.image_size, "num_classes": 0, "global_pool": ""}
    if settings.image_tower is None:
        width, layers, heads = SIZES[settings.size]
        shape |= {"patch_size": settings.patch, "embed_dim": width, "depth": layers, "num_heads": heads}
        vit: Any = VisionTransformer(**shape, class_token=False)
        nn.init.xavier_uniform_(vit.patch_embed.proj.weight.view(width, -1))  # as a linear layer's, MAE
        vit.pos_embed.data[0] = build_sincos2d_pos_embed([settings.grid, settings.grid], width)
        return vit
    try:
        vit = timm.create_model(settings.image_tower, pretrained=False, **shape)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"pretrain.image_tower '{settings.image_tower}' is not one of timm ({error})") from error
    if not isinstance(vit, VisionTransformer) or vit.pos_embed is None:
        raise InputError(f"pretrain.image_tower '{settings.image_tower}' is not a plain ViT; name one, vit_…")
    if vit.patch_embed.patch_size != (settings.patch, settings.patch):
        raise InputError(f"'{settings.image_tower}' has patches of {vit.patch_embed.patch_size[0]}; set pretrain.patch")
    return vit


class ReportTower(nn.Module):
    """BERT (Devlin et al. 2019) of transformers. It gets the visible tokens with their positions, and no [MASK].

    `packaged_frozen` is not trained: it reads whole reports, and masks hide what it says of single tokens. What it says
    is then the same in every epoch.
    """

    def __init__(self, settings: TowerSettings, vocabulary: int):
        super().__init__()
        from transformers import BertConfig, BertModel

        self.frozen = settings.report_tower == "packaged_frozen"
        self.width, layers, heads = SIZES["packaged" if settings.report_tower else settings.size]
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=self.width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * self.width,
            max_position_embeddings=512 if settings.report_tower else 256,
            # Masks are the only noise: without dropout, a step is a function of its batch and its masks.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        # The packaged embeddings are frozen: in a few thousand reports most of its words are too rare to train.
        self.bert.embeddings.requires_grad_(settings.report_tower is None)
        if self.frozen:
            self.requires_grad_(False)

    @torch.no_grad()
    def words(self, tokens_BL: Tensor) -> Tensor:
        """float[B, L, W]: what the frozen tower says of each token of whole reports."""
        local_BLW: Tensor = self.bert(input_ids=tokens_BL, attention_mask=(tokens_BL != PAD).long()).last_hidden_state
        return local_BLW

    def forward(self, tokens_BL: Tensor, mask: Mask, words_BLW: Tensor | None = None) -> Tensor:
        """float[B, U, W]: local features of the visible tokens. words: of the frozen tower, where they are known."""
        if self.frozen:
            return mask.take(self.words(tokens_BL) if words_BLW is None else words_BLW.float())
        seen = {"input_ids": mask.take(tokens_BL), "position_ids": mask.index_BU}
        local_BUW: Tensor = self.bert(**seen, attention_mask=mask.valid_BU.long()).last_hidden_state
        return local_BUW
