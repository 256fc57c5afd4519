"""Report sources: one function for each public dataset, which reads its folder and returns a manifest table."""

from mcmfh.archive.sources.indiana import indiana
from mcmfh.archive.sources.mimic_cxr import mimic_cxr
from mcmfh.archive.sources.openi import openi
from mcmfh.archive.sources.roco import roco

__all__ = ["SOURCES", "indiana", "mimic_cxr", "openi", "roco"]

SOURCES = {"openi": openi, "indiana": indiana, "roco": roco, "mimic-cxr": mimic_cxr}
