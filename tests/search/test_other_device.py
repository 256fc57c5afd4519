"""An archive whose codes were made on a GPU is searched on a CPU, where the bundle's canary gives equal codes there."""

import pytest
import torch
from support.served_archive import pictured
from support.snapshot_rows import publish_rows, rows

from mcmfh.archive.images import Limits
from mcmfh.benchmarks.serving.archives import untrained_model
from mcmfh.encoders.base import Encoder
from mcmfh.errors import InputError
from mcmfh.search.in_process import search_snapshot
from mcmfh.search.retrieval import Retrieval


class OtherRounding:
    """Towers whose features differ by far more than kinds of devices do."""

    def __init__(self, towers):
        self.towers, self.tokenize = towers, towers.tokenize

    def image_features(self, pixels_BHW3):
        return self.shifted(self.towers.image_features(pixels_BHW3))

    def report_features(self, tokens_BL, mask_BL):
        return self.shifted(self.towers.report_features(tokens_BL, mask_BL))

    def shifted(self, features_BD):
        return features_BD + torch.randn(features_BD.shape[1], generator=torch.Generator().manual_seed(0))


def archive_of_gpu(folder, towers) -> str:
    model = untrained_model(f"file://{folder}/bundles", 1, towers, hidden=16, device="cuda")
    root = f"file://{folder}/archives/small"
    publish_rows(root, pictured(rows([f"i{n}" for n in range(1, 61)]), folder), model=model)
    return root


def test_equal_codes_of_the_canary_are_enough(towers, tmp_path, cache):
    root = archive_of_gpu(tmp_path, towers)
    assert len(search_snapshot(root, None, {"report": "a fractured wrist", "k": 3})["hits"]) == 3
    version = Retrieval(root, Limits()).version
    assert (version["device"], version["device_of_codes"]) == ("cpu", "cuda")


def test_other_codes_are_refused_with_both_kinds(towers, tmp_path, cache):
    root = archive_of_gpu(tmp_path, Encoder(towers.spec, OtherRounding(towers.towers)))
    with pytest.raises(InputError, match="device cuda → cpu"):
        search_snapshot(root, None, {"report": "a fractured wrist", "k": 3})
