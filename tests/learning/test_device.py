"""The device of a training: the configured one, or a sentence that names the setting."""

import pytest
import torch

from mcmfh.errors import InputError
from mcmfh.learning.device import chosen_device


def test_cpu_is_never_left():
    assert chosen_device("cpu", "train.device") == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("key", ["train.device", "pretrain.device"])
def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(key):
    assert chosen_device("auto", key) == "cpu"
    with pytest.raises(InputError, match=f"{key} is cuda but this machine has no GPU"):
        chosen_device("cuda", key)
