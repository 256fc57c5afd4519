"""Methods to compare with. All implement `Baseline` and see the same frozen embeddings and splits."""

from typing import Any

from mcmfh.errors import InputError
from mcmfh.hashing.baselines.base import Baseline
from mcmfh.hashing.baselines.contrastive import ContrastiveItq
from mcmfh.hashing.baselines.ddbh import Ddbh, DdbhSketch
from mcmfh.hashing.baselines.dscph import Dscph, DscphSketch
from mcmfh.hashing.baselines.itq import CcaItq
from mcmfh.hashing.baselines.lsh import Lsh
from mcmfh.hashing.baselines.real_valued import CcaCosine, ContrastiveCosine
from mcmfh.hashing.baselines.ucmfh import Ucmfh, UcmfhSketch

__all__ = ["BASELINES", "Baseline", "make_baseline"]

BASELINES: dict[str, type[Any]] = {
    "lsh": Lsh,
    "cca-itq": CcaItq,
    "contrastive-itq": ContrastiveItq,
    "ucmfh": Ucmfh,
    "ucmfh, own sketch": UcmfhSketch,
    "dscph": Dscph,
    "dscph, own sketch": DscphSketch,
    "ddbh": Ddbh,
    "ddbh, own sketch": DdbhSketch,
    "cca-cosine": CcaCosine,
    "contrastive-cosine": ContrastiveCosine,
}


def make_baseline(name: str) -> Baseline:
    """The baseline of that name with its default settings. Raises InputError for an unknown name."""
    if name not in BASELINES:
        raise InputError(f"baseline '{name}' is not known; use one of {', '.join(BASELINES)}")
    baseline: Baseline = BASELINES[name]()
    return baseline
