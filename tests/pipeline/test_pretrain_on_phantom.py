"""On a phantom archive, a short pretraining makes up hidden patches better than each patch's own mean would."""

import pytest
import torch

from mcmfh.config import load_config
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.pretrain import pretrain_archive


@pytest.mark.slow
def test_reconstruction_beats_the_patch_mean(tmp_path):
    from mcmfh.phantom.write import write_phantom

    torch.set_num_threads(1)
    manifest = write_phantom(str(tmp_path / "phantom"), 300)
    settings = {"size": "tiny", "image_size": 96, "context": 64, "batch_size": 32, "epochs": 12, "learning_rate": 1e-3}
    given = [f"pretrain.{name}={value}" for name, value in {**settings, "workers": 0}.items()]
    overrides = [f"archive.manifest={manifest}", f"store={tmp_path}/store", *given]
    config = load_config(overrides, read_default=False)
    found = pretrain_archive(config, read_archive(config.archive)).metrics
    assert found["reconstruction"]["patches"] < 0.95 * found["reconstruction"]["patch_mean"]
    assert found["recall"]["report_to_image"]["R@10"] > 2 * found["recall"]["chance"]["R@10"]
