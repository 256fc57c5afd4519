"""How good codes and statements are, on an archive with labels. `jobs/measure.py` prints it."""
