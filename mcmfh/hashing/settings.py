"""Every switch of the method in one frozen object; a recipe names a tested combination of them.

`recipe: default` scored best on validation data without labels. `recipe: paper` switches on every part of MCMFH
(arXiv 2512.06449). A field that is set overrides the recipe.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mcmfh.embeddings.concepts import MESH
from mcmfh.learning.run_settings import RunSettings

Bits = int | tuple[int, ...]
Reading = Literal["clauses", "reports"]
Mix = tuple[float, float, float]
MAX_SCALE = 40.0  # of the contrast

# The hash head of UCMFH, which the paper's method descends from: D → 4096 → ReLU → dropout .3 → K.
PAPER_HEAD: dict[str, Any] = {"hidden": 4096, "activation": "relu", "input_dropout": 0.0, "dropout": 0.3}
# Each recipe's differences from the defaults of the fields.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        **PAPER_HEAD,
        "epochs": 12,
        "learning_rate": 1e-3,
        "voting": "frozen",
        "fusion": True,
        "experts": 4,
        "gating_loss": 0.01,
        "distillation": 0.1,
        "quantisation": 0.01,
    },
}
SUPERVISED: dict[str, Any] = {
    "hidden": 2048,
    "input_dropout": 0.4,
    "dropout": 0.6,
    "weight_decay": 0.2,
    "epochs": 80,
    "intra": 1.0,
    "logit_scale": 3.0,
}


class ModelSettings(BaseModel):
    """The shape of the network: together with its weights, all that determines a code from an embedding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # auto, which no finished model has: closed_form where images show what reports name, else mcmfh with an ensemble;
    # with tuned towers mcmfh
    method: Literal["mcmfh", "itq", "closed_form", "auto"] = "mcmfh"
    hidden: int = Field(512, ge=1)  # width of the hash heads' trunk
    activation: Literal["gelu", "relu"] = "gelu"  # of the hash heads' trunk
    input_dropout: float = Field(0.2, ge=0, lt=1)
    dropout: float = Field(0.4, ge=0, lt=1)
    width: int = Field(512, ge=8)  # of tokens, where voting or fusion is on
    voting: Literal["off", "frozen", "trained"] = "off"
    votes: int = Field(8, ge=1)
    vote_dropout: float = Field(0.2, ge=0, lt=1)
    fusion: bool = False
    layers: int = Field(2, ge=1)
    attention_heads: int = Field(4, ge=1)
    experts: int = Field(1, ge=1)  # 1 is the plain feed-forward block
    top_k: int = Field(2, ge=1)
    expert_hidden: int = Field(2048, ge=1)
    missing_token: bool = False  # queries pass the fusion transformer too, with a MISSING token as the other side
    missing_dropout: float = Field(0.3, ge=0, le=0.5)  # with missing_token: how often training drops each side
    features: int = Field(4096, ge=8)  # closed_form: random Fourier features of each modality
    kernel_width: float = Field(0.25, gt=0)  # of the Gaussian kernel, as a share of 1 / embedding width
    guide_width: int = Field(128, ge=1)  # of what both modalities predict; with labels it is their number


# What the closed form alone is built from. A model of another method does not name it, as older ones do not.
OF_CLOSED_FORM = {"features", "kernel_width", "guide_width"}


class TrainSettings(RunSettings, ModelSettings):
    """Section `train` of ray_config.yaml."""

    recipe: Literal["default", "paper"] = "default"
    towers: Literal["frozen", "tuned"] = "frozen"  # tuned: see pipeline/towers.py
    bits: Bits = 16  # one K or several, trained at once on one trunk
    epochs: int = Field(36, ge=1)
    min_steps: int = Field(100, ge=1)  # with 769 and 1,408 pairs, pair recall on validation was the same for 250
    batch_size: int = Field(512, ge=2)  # pairs in the contrast, over all workers
    amp: bool = False
    learning_rate: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    clip: float = Field(5.0, gt=0)

    supervised: bool = False  # labels make the targets; reported apart from unsupervised results
    labels: tuple[str, ...] = ()  # prefixes of the label names to use; () uses all
    # graded: by the teacher, or with labels by their weighted overlap;  onehot: each pair is like itself alone;
    # any_label: with labels, all items that share one are alike
    targets: Literal["graded", "onehot", "any_label"] = "graded"
    # auto chooses among the others without labels; concepts, which reads the reports once more, must be asked for
    teacher: Literal["auto", "cca", "cca_even", "both", "report", "image", "concepts"] = "auto"
    ensemble: int = Field(0, ge=0, le=16)  # networks that are trained first and teach this one; see ensemble.py
    temperature: float | None = Field(None, gt=0)  # of the graded targets; None: the teacher's own
    logit_scale: float = Field(5.0, gt=0, le=MAX_SCALE)
    intra: float = Field(0.5, ge=0)
    fusion_weight: float = Field(1.0, ge=0)
    distillation: float = Field(0.0, ge=0)
    gating_loss: float = Field(0.0, ge=0)
    quantisation: float = Field(0.0, ge=0)
    ridge: float = Field(1e-4, gt=0)  # closed_form: as a share of the train pairs
    concepts: str | None = MESH  # closed_form, teacher concepts: a list (embeddings/concepts.py); null: none
    reading: Reading = "clauses"  # closed_form: what phrases are compared with, each clause or the whole report
    mix: Mix | Literal["auto"] = "auto"  # shares of concepts, fine and coarse in the guide; auto: see hashing/mixes.py
    family_weights: tuple[tuple[str, float], ...] = ()  # with labels, graded: {finding: 2}; of other families 1
    balance: float = Field(0.1, ge=0)
    decorrelation: float = Field(0.01, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_recipe(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = dict(RECIPES.get(given.get("recipe", "default"), {}))
        if given.get("supervised"):
            preset |= SUPERVISED | (PAPER_HEAD if given.get("recipe") == "paper" else {})
        return preset | given

    @field_validator("family_weights", mode="before")
    @classmethod
    def _pairs(cls, given: Any) -> Any:
        return tuple(given.items()) if isinstance(given, dict) else given

    @field_validator("bits")
    @classmethod
    def _check_bits(cls, bits: Bits) -> Bits:
        every = (bits,) if isinstance(bits, int) else bits
        if not every or any(k % 8 or not 8 <= k <= 512 for k in every) or len(set(every)) < len(every):
            raise ValueError(f"bits {bits} must be distinct multiples of 8 from 8 to 512")
        return bits

    @model_validator(mode="after")
    def _check_parts(self) -> "TrainSettings":
        if self.targets == ("onehot" if self.supervised else "any_label"):
            raise ValueError(f"targets {self.targets} do not go with supervised: {str(self.supervised).lower()}")
        if self.ensemble and (self.supervised or self.targets == "onehot" or self.method in ("itq", "closed_form")):
            raise ValueError("ensemble teaches networks with graded targets and without labels; set it to 0")
        if self.method == "auto" and (self.supervised or self.targets == "onehot" or self.mix != "auto"):
            raise ValueError("method auto chooses without labels, and the mix too; name a method, or leave these out")
        if self.teacher == "concepts" and self.concepts is None:
            raise ValueError("teacher concepts needs a list of concepts; set concepts")
        for part in ("experts", "gating_loss", "distillation", "missing_token"):
            if not self.fusion and getattr(self, part) not in (0, False, 1):
                raise ValueError(f"{part} needs fusion: true")
        if 1 < self.experts < self.top_k:
            raise ValueError(f"top_k {self.top_k} is more than experts {self.experts}")
        mix = (1.0, 1.0, 1.0) if self.mix == "auto" else self.mix
        if min(mix) < 0 or sum(mix) <= 0 or (self.concepts is None and not any(mix[1:])):
            raise ValueError(f"mix {self.mix} leaves nothing to learn from; give three shares, not all of them 0")
        if self.gating_loss and self.experts == 1:
            raise ValueError("gating_loss needs experts: 2 or more")
        return self

    @property
    def reads_concepts(self) -> bool:
        """Whether training reads concepts and asserted reports."""
        chooses = self.method == "auto" and self.towers == "frozen"
        reads = self.method == "closed_form" or chooses or (self.method == "mcmfh" and self.teacher == "concepts")
        return reads and not self.supervised and self.concepts is not None

    @property
    def all_bits(self) -> tuple[int, ...]:
        """`bits` as a sorted tuple."""
        return (self.bits,) if isinstance(self.bits, int) else tuple(sorted(self.bits))

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that a code's quality depends on and that differ from those of the recipe, as JSON.

        Bits and seed are left out: tables have columns for them.
        """
        recipe = TrainSettings(recipe=self.recipe, supervised=self.supervised).work
        return {k: v for k, v in self.work.items() if v != recipe[k] and k not in ("bits", "seed")}


# The paper's recipe without each of its parts in turn: what a part contributes.
ABLATIONS: dict[str, dict[str, Any]] = {
    "all parts": {},
    "no voting": {"voting": "off"},
    "trained voting": {"voting": "trained"},
    "plain feed-forward": {"experts": 1, "gating_loss": 0.0},
    "no gating loss": {"gating_loss": 0.0},
    "no distillation": {"distillation": 0.0},
    "no fusion": {"fusion": False, "experts": 1, "gating_loss": 0.0, "distillation": 0.0},
    "one-hot targets": {"targets": "onehot"},
    "missing token": {"missing_token": True, "distillation": 0.0},
    "default recipe": {"recipe": "default"},
}
# The parts that work in the fusion transformer alone.
_OF_FUSION = ("experts", "gating_loss", "distillation", "missing_token")


def variant(base: TrainSettings, name: str, **change: Any) -> tuple[str, TrainSettings]:
    """(name, settings) of a row: what `name` stands for is `change`, and the rest is as somebody set it in `base`.

    Of `base`, that is its bits, its seed, where it runs, and what differs from its own recipe. What then differs from
    `change` alone is written behind the name, so that a row is what it is called.
    """
    plain, kept = TrainSettings(**change), base.changes
    if any(change.get(part) for part in _OF_FUSION):
        kept.pop("fusion", None)
    if not change.get("fusion", kept.get("fusion", plain.fusion)):
        kept |= {part: TrainSettings.model_fields[part].default for part in _OF_FUSION}  # without fusion they are off
    where = base.model_dump(exclude=set(base.work))
    settings = TrainSettings(**{"bits": base.bits, "seed": base.seed, **where, **kept, **change})
    other = {k: v for k, v in settings.work.items() if v != plain.work[k] and k not in ("bits", "seed")}
    return name + "".join(f"; {key} {_word(value)}" for key, value in other.items()), settings


def ablations(base: TrainSettings) -> dict[str, TrainSettings]:
    """Settings of each row of the ablation table by its name: see `variant`. They are supervised where `base` is."""
    recipe = {"recipe": "paper", "supervised": base.supervised}
    rows = dict(ABLATIONS)
    if base.supervised:  # labels make the targets: what they grade can be left out, not the labels
        del rows["one-hot targets"]
        rows["any-label targets"] = {"targets": "any_label"}
    return dict(variant(base, name, **{**recipe, **change}) for name, change in rows.items())


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
