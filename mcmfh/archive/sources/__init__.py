"""Public datasets in their own files → a manifest: one function a dataset, folder URI in, Arrow table out."""

from mcmfh.archive.sources.indiana import indiana
from mcmfh.archive.sources.mimic_cxr import mimic_cxr
from mcmfh.archive.sources.openi import openi
from mcmfh.archive.sources.roco import roco

__all__ = ["SOURCES", "indiana", "mimic_cxr", "openi", "roco"]

SOURCES = {"openi": openi, "indiana": indiana, "roco": roco, "mimic-cxr": mimic_cxr}
