"""Which items that are asked about training has met: by patient, study, text or picture, or through a trained model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.seen import Seen
from mcmfh.evaluation.split import Split


@dataclass(frozen=True)
class Leak:
    """One item that is asked about, with a reason for each way in which training has met it."""

    item_id: str
    reasons: tuple[str, ...]  # such as "its text is that of training item 'a17'"


def find_leaks(split: Split, seen: Mapping[str, Seen], query_role: str = "test") -> list[Leak]:
    """The leaks among the items with `query_role`, in their order; `seen` holds whom models and towers saw, by name."""
    train, asked = split.role == "train", split.role == query_role
    reasons: list[list[str]] = [[] for _ in split.role]
    for what, names in (("patient", split.patient), ("study", split.study), ("text", split.text_key)):
        trained = np.flatnonzero(train & (names != ""))
        known, first = np.unique(names[trained], return_index=True)
        for item in np.flatnonzero(asked & np.isin(names, known)):
            met = trained[first[np.searchsorted(known, names[item])]]
            reasons[item].append(f"its {what} is that of training item '{split.item_id[met]}'")
    trained = np.flatnonzero(train)
    known, first = np.unique(split.twin_set[trained], return_index=True)
    for item in np.flatnonzero(asked & np.isin(split.twin_set, known)):
        met = trained[first[np.searchsorted(known, split.twin_set[item])]]
        reasons[item].append(f"its picture is nearly that of training item '{split.item_id[met]}'")
    archive = split.members[0].archive if len(split.members) == 1 else ""
    for name, whom in seen.items():
        people, texts = whom.people(archive, split.patient, split.study), whom.texts(split.text_key)
        for met, what in ((people, "patient or study"), (texts & ~people, "text")):
            for item in np.flatnonzero(asked & met):
                reasons[item].append(f"{name} saw its {what}")
    return [Leak(str(split.item_id[i]), tuple(dict.fromkeys(of_item))) for i, of_item in enumerate(reasons) if of_item]
