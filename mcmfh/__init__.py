"""Exact cross-modal retrieval of medical images and reports from compact hash codes, on Ray."""

__version__ = "0.1.0"
