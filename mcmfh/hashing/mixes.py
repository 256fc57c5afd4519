"""How much each part of a guide counts, chosen without labels by what the images of other pairs show of it.

What a report says can be learnt across modalities as far as its image shows it. Where images show fine detail, fine
directions count most. Where they show the named concepts alone, concepts do. Where they show neither well, the coarse
directions join the concepts, since these are chosen to be what both sides share.
"""

from mcmfh.hashing.guides import Parts

Shares = tuple[float, float, float]  # of concepts, fine and coarse

DETAILED: Shares = (0.3, 0.5, 0.2)
NAMED: Shares = (1.0, 0.0, 0.0)
VAGUE: Shares = (0.7, 0.0, 0.3)
UNNAMED: Shares = (0.0, 0.5, 0.5)  # there are no concepts
# Correlations, see Parts.shown; each stands midway between archives on whose two sides another mix was better.
FINE_SHOWN = 0.3
CONCEPTS_SHOWN = 0.22
ENSEMBLE = 4  # networks that teach where nothing is shown well


def shows_little(shown: dict[str, float]) -> bool:
    """Whether images show neither fine detail nor named concepts well, by Parts.shown.

    The closed form then finds less than the network, which learns from the pairs what both sides share.
    """
    return shown["fine"] < FINE_SHOWN and shown.get("concepts", 0.0) < CONCEPTS_SHOWN


def chosen_mix(parts: Parts) -> Shares:
    """The shares for these parts."""
    if not parts.families:
        return UNNAMED
    if shows_little(parts.shown):
        return VAGUE
    return DETAILED if parts.shown["fine"] >= FINE_SHOWN else NAMED
