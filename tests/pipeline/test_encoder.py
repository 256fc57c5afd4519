"""The kind of device is decided once for a store: GPU nodes that join and leave change no digest."""

from collections.abc import Callable

import pytest

from mcmfh.config import ClusterConfig, Config, load_config
from mcmfh.encoders import encoder_spec
from mcmfh.learning.run_settings import RunSettings
from mcmfh.pipeline.encoder import current_spec, decided_spec, on_device_of, with_device
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.store import files
from mcmfh.store.layout import embeddings_folder, unit_marker


def up(cluster: ClusterConfig) -> bool:
    return True


def none_up(cluster: ClusterConfig) -> bool:
    return False


@pytest.fixture
def config(tmp_path) -> Callable[..., Config]:
    return lambda *overrides: load_config([f"store={tmp_path}/store", *overrides], read_default=False)


@pytest.mark.parametrize(("first", "device"), [(up, "cuda"), (none_up, "cpu")])
def test_what_comes_up_later_changes_nothing(config, first, device):
    decided = decided_spec(config(), first)
    assert decided.device == device
    for later in (up, none_up):
        assert decided_spec(config(), later).digest == current_spec(config(), later).digest == decided.digest


def test_who_only_reads_decides_nothing(config):
    assert current_spec(config(), up).device == "cuda"
    assert decided_spec(config(), none_up).device == "cpu"
    assert current_spec(config(), up).device == "cpu"


def test_other_library_versions_keep_the_kind(config, monkeypatch):
    before = decided_spec(config(), up)
    monkeypatch.setattr("mcmfh.encoders.spec.library_versions", lambda: {"torch": "99"})
    after = decided_spec(config(), none_up)
    assert after.device == "cuda"
    assert after.digest != before.digest


@pytest.mark.parametrize(
    ("override", "device"),
    [
        ("encoder.use_gpu=false", "cpu"),
        ("encoder.use_gpu=true", "cuda"),
        ("encoder.device=cpu", "cpu"),
        ("encoder.device=cuda", "cuda"),
    ],
)
def test_the_configuration_may_name_the_kind(config, override, device):
    """For a store that has none it is the decision; later it holds for that run alone."""
    other = {"cpu": up, "cuda": none_up}[device]
    assert decided_spec(config(override), other).device == device
    assert decided_spec(config(), other).device == device
    opposite = {"cpu": "cuda", "cuda": "cpu"}[device]
    assert decided_spec(config(f"encoder.device={opposite}"), other).device == opposite
    assert decided_spec(config(), other).device == device


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_store_with_embeddings_of_one_kind_keeps_it(config, device):
    """Stores that were made before the kind was written down."""
    folder = embeddings_folder(config().store, encoder_spec("packaged", device).digest)
    files.create(unit_marker(folder, "unit"), b"{}")
    assert decided_spec(config(), {"cpu": up, "cuda": none_up}[device]).device == device


def test_of_two_jobs_that_decide_at_once_one_wins(config, monkeypatch):
    create = files.create

    def late(uri: str, data: bytes) -> bool:
        create(uri, files.canonical_json({"device": "cpu"}))
        return create(uri, data)

    monkeypatch.setattr(files, "create", late)
    assert decided_spec(config(), up).device == "cpu"


def test_a_model_brings_its_kind(config):
    assert on_device_of(config(), {"device": "cuda"}).encoder.device == "cuda"
    assert on_device_of(config("encoder.use_gpu=false"), {"device": "cuda"}).encoder.device == "auto"
    assert on_device_of(config("encoder.device=cpu"), {"device": "cuda"}).encoder.device == "cpu"
    assert on_device_of(config(), {}) == config()


def test_a_training_on_ray_uses_the_gpus_that_the_cluster_has_or_may_have():
    def device(settings: RunSettings, has: Callable[[ClusterConfig], bool]) -> str:
        return with_device(settings, ClusterConfig(), has).device

    assert (device(PretrainSettings(), up), device(PretrainSettings(), none_up)) == ("cuda", "cpu")
    assert device(PretrainSettings(device="cpu"), up) == "cpu"
    assert device(PretrainSettings(device="cuda"), none_up) == "cuda"
    assert device(PretrainSettings(workers=0), up) == "auto"  # this process sees for itself
