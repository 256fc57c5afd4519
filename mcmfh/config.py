"""Loads ray_config.yaml and dotted overrides into one frozen, validated object. No other module reads configuration."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationError, field_validator, model_validator

from mcmfh.archive.images import Limits
from mcmfh.archive.roots import default_roots
from mcmfh.errors import InputError
from mcmfh.hashing.settings import TrainSettings
from mcmfh.learning.run_settings import Gpus, gpus_to_ask_for
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.search.query import checked_where
from mcmfh.store import files
from mcmfh.store.layout import ARCHIVE_NAME


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClusterConfig(Section):
    address: str | None = None
    namespace: str | None = Field(None, min_length=1)
    num_cpus: int | None = Field(None, ge=1)
    max_cpus: int | None = Field(None, ge=1)
    max_gpus: int | None = Field(None, ge=0)
    task_memory_mb: int | None = Field(None, ge=1)
    object_store_mb: int | None = Field(None, ge=100)
    worker_logs: bool = False
    forward_keys: bool = False


class ArchiveConfig(Section):
    manifest: str | None = None
    name: str = Field("archive", pattern=ARCHIVE_NAME)
    filters: tuple[str, ...] = ()
    roots: tuple[str, ...] | None = None
    keep_reports: bool = True
    max_failure_rate: float = Field(0.2, ge=0, le=1)
    max_bytes: int = Field(64 * 2**20, ge=1)
    max_pixels: int = Field(64_000_000, ge=1)
    refuse_burned_in: bool = False

    @property
    def limits(self) -> Limits:
        """Limits on each input file."""
        burned_in = self.refuse_burned_in
        return Limits(self.max_bytes, self.max_pixels, refuse_burned_in=burned_in, roots=self.allowed_roots)

    @property
    def allowed_roots(self) -> tuple[str, ...] | None:
        """Folders and buckets outside which nothing is read; None where there is no manifest to read from."""
        return self.roots if self.roots is not None else default_roots(self.manifest) if self.manifest else None


class EncoderConfig(Section):
    name: Literal["packaged", "biomedclip", "open_clip", "transformers", "mcr", "lexical", "precomputed"] = "packaged"
    source: str | None = None
    use_gpu: bool | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    num_gpus: Gpus = None
    memory_mb: int | None = Field(None, ge=1)

    def gpus(self, device: str) -> float:
        """GPUs that each encoder asks Ray for, when its tensors are on `device`."""
        return gpus_to_ask_for(self.num_gpus, device)


class EmbedConfig(Section):
    workers: int | None = Field(None, ge=1)
    unit_items: int | None = Field(None, ge=1, le=65536)
    retry_quarantined: bool = False
    dry_run: bool = False

    def items_of_unit(self, device: str) -> int:
        """Items in a unit, for an encoder on `device`: some seconds of work, and several of its batches."""
        return self.unit_items or {"cpu": 256, "cuda": 1024}[device]


class HashConfig(Section):
    bundle: str = "latest"
    replace_model: bool = False


Role = Literal["search", "read", "admin"]


class GrantConfig(Section):
    """What somebody may do, where, and how often."""

    roles: tuple[Role, ...] = Field(("search", "read"), min_length=1)
    where: dict[str, Any] = Field(default_factory=dict)
    archives: tuple[str, ...] | None = None
    requests_per_second: float = Field(50, gt=0)
    requests_per_day: int | None = Field(None, ge=1)

    @field_validator("where")
    @classmethod
    def _check_where(cls, where: dict[str, Any]) -> dict[str, Any]:
        """As a query's `where`. YAML has dates, which JSON writes as text."""
        plain: dict[str, Any] = json.loads(json.dumps(where, default=str))
        return checked_where(plain)


class KeyConfig(GrantConfig):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: datetime | None = None

    @field_validator("expires")
    @classmethod
    def _in_utc(cls, expires: datetime | None) -> datetime | None:
        """A time without a zone is UTC."""
        return expires.replace(tzinfo=UTC) if expires and expires.tzinfo is None else expires


class GroupConfig(GrantConfig):
    """What the members of a group of the issuer may do."""

    group: str = Field(min_length=1)


class OidcConfig(Section):
    # The host and port stand in the page's policy, whose parts ";" and blanks would divide.
    issuer: str | None = Field(
        None,
        pattern=r"^(https://[A-Za-z0-9.-]+|https://\[[0-9A-Fa-f:.]+\]|http://(localhost|127\.0\.0\.1))(:\d+)?(/[^\s@]*)?$",
    )
    audience: str | None = Field(None, min_length=1)
    client_id: str | None = Field(None, pattern=r"^[\x20-\x7e]+$")
    scopes: tuple[Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")], ...] = ("openid",)
    resource: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s#]+$")
    groups_claim: str = Field("groups", min_length=1)
    groups: tuple[GroupConfig, ...] = ()

    @model_validator(mode="after")
    def _check_complete(self) -> "OidcConfig":
        if self.issuer is not None and (self.audience is None or not self.groups):
            raise ValueError("an issuer needs `audience` and `groups`: without them nobody could enter")
        if self.client_id is not None and self.issuer is None:
            raise ValueError("a client_id needs the `issuer` that gave it")
        if self.client_id is not None and "openid" not in self.scopes:
            raise ValueError("`scopes` need openid: it brings the token by which the page knows its own sign-in")
        return self


class EvaluateConfig(Section):
    compare: Literal["model", "methods", "ablation", "bits", "encoder", "pretraining"] = "model"
    rows: tuple[str, ...] = ()
    seeds: int = Field(3, ge=1)
    families: tuple[str, ...] | None = None
    train_until: date | None = None
    train_manifest: str | None = None
    train_archive: str | None = Field(None, pattern=ARCHIVE_NAME)
    twins_up_to: int = Field(10_000, ge=0)


class ServeConfig(Section):
    archives: tuple[Annotated[str, Field(pattern=ARCHIVE_NAME)], ...] = ()
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    layout: Literal["single", "sharded"] = "single"
    parts: int = Field(2, ge=1)
    part_replicas: int = Field(1, ge=1)
    encoders: int = Field(1, ge=1)
    replicas: int = Field(1, ge=1)
    max_replicas: int | None = Field(None, ge=1)
    max_replicas_per_node: int | None = Field(None, ge=1, le=100)
    target_ongoing_requests: float = Field(8, gt=0)
    header_seconds: float = Field(10, ge=1)
    body_seconds: float = Field(10, ge=1)
    connections_per_address: int = Field(200, ge=1)
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    keys: tuple[KeyConfig, ...] = ()
    keys_uri: str | None = Field(None, min_length=1)
    oidc: OidcConfig = OidcConfig()
    poll_seconds: float = Field(10, gt=0)
    sweep_seconds: float = Field(3600, gt=0)
    max_body_mb: int = Field(32, ge=1)
    max_batch: int = Field(16, ge=1)
    max_waiting: int = Field(64, ge=1)
    timeout_seconds: float = Field(30, gt=0)
    drain_seconds: float = Field(10, ge=0)
    num_gpus: Gpus = None
    memory_mb: int | None = Field(None, ge=1)

    def gpus(self, device: str) -> float:
        """GPUs that whoever encodes queries asks Ray for, when its tensors are on `device`."""
        return gpus_to_ask_for(self.num_gpus, device)

    @property
    def guarded(self) -> bool:
        """Whether requests need a key or a token. The configuration alone decides, not what the key file holds."""
        return bool(self.keys) or self.keys_uri is not None or self.oidc.issuer is not None

    @property
    def most_replicas(self) -> int:
        """The greatest number of replicas that may run at a time."""
        return max(self.replicas, self.max_replicas or 0)


class AuditConfig(Section):
    secret_uri: str | None = Field(None, min_length=1)
    folder: str = "~/.local/state/mcmfh/audit"
    seal_seconds: float = Field(30, gt=0)
    required: bool = True

    @field_validator("secret_uri")
    @classmethod
    def _absolute(cls, uri: str | None) -> str | None:
        """Replicas have other working folders."""
        return None if uri is None else files.absolute(uri)


class Config(Section):
    store: str = "./store"
    cluster: ClusterConfig = ClusterConfig()
    archive: ArchiveConfig = ArchiveConfig()
    encoder: EncoderConfig = EncoderConfig()
    embed: EmbedConfig = EmbedConfig()
    pretrain: PretrainSettings = PretrainSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateConfig = EvaluateConfig()
    hash: HashConfig = HashConfig()
    serve: ServeConfig = ServeConfig()
    audit: AuditConfig = AuditConfig()

    @property
    def served_archives(self) -> tuple[str, ...]:
        """The archives of the store that an endpoint serves, each once; the first is asked where none is named."""
        return tuple(dict.fromkeys(self.serve.archives)) or (self.archive.name,)


def load_config(overrides: Sequence[str] = (), path: str | None = None, read_default: bool = True) -> Config:
    """The configuration in the file `path`, with `overrides` of the form section.key=value applied.

    Without `path`, ray_config.yaml in the working directory is read if it exists and `read_default` is true. Override
    values are parsed as YAML: 32, true, null, [16, 32]. Raises InputError with the key at fault.
    """
    file = Path(path or "ray_config.yaml")
    if path and not file.is_file():
        raise InputError(f"configuration file '{path}' does not exist; give the path of a ray_config.yaml")
    source = str(file)
    try:
        values: Any = yaml.safe_load(file.read_text()) if file.is_file() and (path or read_default) else {}
    except yaml.YAMLError as error:
        raise InputError(f"{source} is not YAML ({' '.join(str(error).split())}); correct it there") from error
    values = values or {}
    if not isinstance(values, dict):
        raise InputError(f"{source} holds no sections; write 'section:' with indented keys below it")
    for override in overrides:
        _apply(values, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error)) from error


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override '{override}' is not of the form section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        values[section] = {} if values.get(section) is None else values[section]
        values = values[section]
        if not isinstance(values, dict):
            raise InputError(f"override '{override}': '{section}' is a value, not a section; remove what follows it")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"override '{override}': '{text}' is not a YAML value; quote it") from error


def _explain(error: ValidationError) -> str:
    """The first fault as one sentence: the key, what is wrong with it, and which keys or values are valid."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"] if not str(part).startswith(("function-", "literal["))]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        model: Any = Config
        for part in path[:-1]:
            if not part.isdigit():
                model = model.model_fields[part].annotation
                model = next((kind for kind in get_args(model) if isinstance(kind, type)), model)
        valid = ", ".join(sorted(model.model_fields))
        return f"configuration key '{key}' is not known; use one of: {valid}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    # The value may be a secret key, pasted where its hash belongs; it must not reach a log.
    value = "what it is" if key.startswith("serve.keys") else repr(fault["input"])
    return f"configuration key '{key}' cannot be {value}: {message}"
