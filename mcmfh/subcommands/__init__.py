"""Subcommands of `mcmfh`, one group a file; `cli` puts them together."""
