"""Trainings without a gradient step: from a prepared problem to its fitted model, in one process."""

from mcmfh.hashing.coder import Model
from mcmfh.hashing.itq import fit_itq
from mcmfh.hashing.kernel_hash import KernelHash, fit_kernel_hash, group_folds
from mcmfh.hashing.preparation import Prepared


def solve(prepared: Prepared) -> Model:
    """The model of a method that is a formula: itq or closed_form."""
    settings = prepared.settings
    if settings.method == "itq":
        return fit_itq(prepared.image, prepared.report, settings.all_bits, settings.seed)
    model = prepared.shape.build()
    assert isinstance(model, KernelHash)
    folds = group_folds(prepared.group, settings.seed)
    pairs = prepared.image, prepared.report, prepared.guide
    return fit_kernel_hash(model, *pairs, settings.ridge, settings.seed, folds, settings.supervised)
