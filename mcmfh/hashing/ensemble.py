"""Networks that teach a network: it learns the likeness that the codes of several others agree on.

Each member is trained by the teacher that was chosen for it, from other first weights. The relaxed codes of all members
then make the guide of one more network (born-again networks, Furlanello et al., ICML 2018, with an ensemble as their
teacher). What single networks learn by accident cancels out; serving costs what one network does.
Shapes: N train pairs · G guide width · K bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mcmfh.archive.modality import MODALITIES
from mcmfh.hashing.coder import Coder
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.preparation import Prepared
from mcmfh.hashing.teachers import unit
from mcmfh.store import files

TEMPERATURE = 0.1  # of the targets that the guide makes


def trained(prepared: Prepared, network: Callable[[Prepared, int], Mcmfh]) -> tuple[Prepared, Mcmfh]:
    """The problem as it was posed to the network that is kept, and that network.

    `network(problem, i)` trains one: the members i = 0, 1, …, settings.ensemble − 1, then the one that they teach.
    """
    teachers = [network(member, i) for i, member in enumerate(members(prepared))]
    if teachers:
        prepared = taught_by(prepared, teachers)
    return prepared, network(prepared, len(teachers))


def members(prepared: Prepared) -> list[Prepared]:
    """The problems of the settings.ensemble networks that teach: the same pairs and guide, seeds of their own.

    They write no scalars: those of the network that is kept would be among them.
    """
    settings = prepared.settings
    problems = []
    for member in range(settings.ensemble):
        seed = int(np.random.default_rng([settings.seed, member]).integers(2**31))
        problems.append(
            replace(
                prepared,
                settings=settings.model_copy(update={"seed": seed, "ensemble": 0, "log_dir": None}),
                shape=replace(prepared.shape, seed=seed),
                fingerprint=files.digest([prepared.fingerprint, "member", member]),
            )
        )
    return problems


def taught_by(prepared: Prepared, models: Sequence[Mcmfh]) -> Prepared:
    """The problem with a guide from the relaxed codes, tanh of the logits, that trained members give the train pairs.

    Taken are each member's shortest codes, of both modalities: float32[N, G] unit rows, G = members · 2 · K. Shorter
    codes agree on less, and taught better than longer ones.
    """
    parts = []
    for model in models:
        logits = Coder(model.eval(), prepared.shape).all_logits(prepared.image, prepared.report)
        parts += [unit(np.tanh(logits[name][prepared.shape.bits[0]])) for name in MODALITIES]
    guide = unit(np.concatenate(parts, 1)).astype(np.float32)
    labels = prepared.rows[:, sum(prepared.widths[:3]) :]
    image, report, _, label_count = prepared.widths
    return replace(
        prepared,
        rows=np.concatenate([prepared.image, prepared.report, guide, labels], 1),
        widths=(image, report, guide.shape[1], label_count),
        teacher=f"{len(models)} networks by {prepared.teacher}",
        temperature=prepared.settings.temperature or TEMPERATURE,
    )
