"""The phantom archive: seeded, synthetic hospital data whose findings are visible in its pictures."""

from mcmfh.phantom.write import write_phantom

__all__ = ["write_phantom"]
