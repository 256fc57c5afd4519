"""Which encoder a stage uses, and on which kind of device it computes.

Devices round differently, so the kind is part of an encoder's digest. It is therefore decided once for a store, at the
first embedding, and written down beside the embeddings. From then on GPUs are asked for, whether one is up or not.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from mcmfh import ray_session
from mcmfh.config import ClusterConfig, Config
from mcmfh.encoders import EncoderSpec, encoder_spec
from mcmfh.errors import InputError
from mcmfh.learning.run_settings import RunSettings
from mcmfh.store import documents, files
from mcmfh.store.layout import device_kind, embeddings_folder

if TYPE_CHECKING:
    from mcmfh.hashing import Bundle

DEVICES = ("cpu", "cuda")
HasGpus = Callable[[ClusterConfig], bool]
S = TypeVar("S", bound=RunSettings)


def current_spec(config: Config, has_gpus: HasGpus = ray_session.has_gpus) -> EncoderSpec:
    """The configured encoder on the kind of device that the configuration names, or else the store's.

    A store that has none gets the kind of its embeddings, or else "cuda" where the cluster has GPUs or may have them.
    """
    specs = {device: _spec(config, device) for device in DEVICES}
    return specs[_configured(config) or _stored(config, specs) or ("cuda" if has_gpus(config.cluster) else "cpu")]


def decided_spec(config: Config, has_gpus: HasGpus = ray_session.has_gpus) -> EncoderSpec:
    """`current_spec` for a stage that embeds: if the store has no kind of device yet, it gets this one."""
    spec = current_spec(config, has_gpus)
    uri = _uri(config, spec)
    if files.exists(uri) or documents.create(uri, {"device": spec.device}):
        return spec
    return current_spec(config, has_gpus)  # another job has just decided


def on_device_of(config: Config, identity: dict[str, Any]) -> Config:
    """`config` with the encoder on the kind of device of `identity` (a bundle's), unless it names one itself."""
    if _configured(config) or identity.get("device") not in DEVICES:
        return config
    return config.model_copy(update={"encoder": config.encoder.model_copy(update={"device": identity["device"]})})


def with_encoder(config: Config, name: str, source: str | None) -> Config:
    """`config` with another encoder, on the same kind of device."""
    encoder = config.encoder.model_copy(update={"name": name, "source": source})
    return config.model_copy(update={"encoder": encoder})


def with_towers_of(config: Config, bundle: "Bundle") -> Config:
    """`config`; where train.towers is tuned, with the encoder that this model was trained on.

    Raises InputError where that encoder is no tuned towers.
    """
    if config.train.towers == "frozen":
        return config
    if bundle.encoder != "mcr":
        raise InputError(
            f"train.towers is tuned, but the model that hash.bundle={config.hash.bundle} names was trained on encoder "
            f"{bundle.encoder}, not on tuned towers; run jobs/train.py with train.towers=tuned, name another model, or "
            "set train.towers=frozen"
        )
    return with_encoder(config, bundle.encoder, bundle.encoder_source)


def with_tuned_towers(config: Config) -> Config:
    """`config`; where train.towers is tuned and no towers are named, with those of the model that hash.bundle names."""
    if config.train.towers == "frozen" or config.encoder.name != "packaged":
        return config
    from mcmfh.hashing import load_bundle, registry  # late: torch is not needed to embed

    return with_towers_of(config, load_bundle(registry.resolve(config.store, config.hash.bundle)))


def with_device(settings: S, cluster: ClusterConfig, has_gpus: HasGpus = ray_session.has_gpus) -> S:
    """Settings of a training on Ray with its device: for "auto", "cuda" where the cluster has GPUs or may have."""
    if settings.workers == 0 or settings.device != "auto":
        return settings
    return settings.model_copy(update={"device": "cuda" if has_gpus(cluster) else "cpu"})


def _configured(config: Config) -> str | None:
    """The kind of device that the configuration names; None where it leaves the choice open."""
    encoder = config.encoder
    if encoder.device != "auto":
        return encoder.device
    return None if encoder.use_gpu == "auto" else "cuda" if encoder.use_gpu else "cpu"


def _stored(config: Config, specs: dict[str, EncoderSpec]) -> str | None:
    """What was decided. Embeddings older than such decisions count as one where they are of one kind."""
    uri = _uri(config, specs["cpu"])
    if files.exists(uri):
        return str(documents.read(uri)["device"])
    embedded = [kind for kind in DEVICES if files.exists(embeddings_folder(config.store, specs[kind].digest))]
    return embedded[0] if len(embedded) == 1 else None


def _spec(config: Config, device: str) -> EncoderSpec:
    encoder = config.encoder
    return encoder_spec(encoder.name, device, encoder.source, encoder.dtype)


def _uri(config: Config, spec: EncoderSpec) -> str:
    """Of the decision. It is the same for every device and all library versions."""
    return device_kind(config.store, files.digest([spec.name, spec.weights, spec.architecture]))
