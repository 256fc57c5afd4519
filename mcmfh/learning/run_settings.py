"""Settings that both trainings have: seed, epochs, global batch, workers, device."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

LEAST_PAIRS = 16  # train pairs; a training refuses fewer


def _whole_or_share(gpus: float) -> float:
    if gpus > 1 and gpus % 1:
        raise ValueError(f"{gpus} is neither a share of one GPU nor a whole number of them")
    return gpus


# What a process asks Ray for; None: see gpus_to_ask_for.
Gpus = Annotated[float, Field(ge=0), AfterValidator(_whole_or_share)] | None


def gpus_to_ask_for(num_gpus: float | None, device: str) -> float:
    """GPUs, or the share of one, that a process asks Ray for: `num_gpus`, or by default one for tensors on "cuda".

    What Ray schedules and where tensors are ("cpu" | "cuda") are two things: a node may claim a GPU that it lacks.
    """
    return num_gpus if num_gpus is not None else float(device == "cuda")


class RunSettings(BaseModel):
    """The common part of sections `train` and `pretrain` of ray_config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    epochs: int = Field(ge=1)
    min_steps: int = Field(0, ge=0)  # a small archive gets more epochs, until it has this many steps
    batch_size: int = Field(ge=2)  # pairs in one contrast, of all workers together
    workers: int = Field(2, ge=0)  # of Ray Train; 0 trains in this process, without Ray
    min_workers: int | None = Field(None, ge=1)  # fewer than `workers`: the run is elastic
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_gpus: Gpus = None  # that each worker asks Ray for; None: one where the device is cuda
    memory_mb: int | None = Field(None, ge=1)  # that each worker asks Ray for; None: it asks for none
    log_dir: str | None = None  # folder on the first worker's machine for TensorBoard scalars

    @model_validator(mode="after")
    def _check_workers(self) -> "RunSettings":
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers {self.min_workers} is more than workers {self.workers}")
        for count in range(self.min_workers or max(self.workers, 1), max(self.workers, 1) + 1):
            if self.batch_size % count:
                raise ValueError(f"batch_size {self.batch_size} is not a multiple of {count} workers")
        return self

    @property
    def work(self) -> dict[str, Any]:
        """The settings that the trained weights depend on, as JSON: all but where it runs and is logged."""
        where = {"workers", "min_workers", "device", "num_gpus", "memory_mb", "log_dir"}
        return self.model_dump(mode="json", exclude=where)

    def long_enough(self, steps_of_epoch: int) -> Self:
        """These settings with as many epochs as `min_steps` asks for."""
        return self.model_copy(update={"epochs": max(self.epochs, -(-self.min_steps // steps_of_epoch))})

    @property
    def checkpoint_every(self) -> int:
        """Epochs between checkpoints, so that a run has at most forty."""
        return -(-self.epochs // 40)
