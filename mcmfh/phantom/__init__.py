"""The phantom archive: a seeded hospital that never was, with findings one can see."""

from mcmfh.phantom.write import write_phantom

__all__ = ["write_phantom"]
