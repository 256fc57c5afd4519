"""Who trains and who is asked: one immutable object, made once, that everything is handed.

Towers, teacher, baselines, CCA and measures all take their rows from it. What belongs together is on one side: items of
one patient or case (`group`), of one study, with equal texts, and with nearly equal pictures.
Shapes: N listed items, whether embedded or not · P pairs of twins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np

from mcmfh.archive.dates import day_first_of, parse_date
from mcmfh.archive.splits import split_of
from mcmfh.embeddings.coverage import Coverage
from mcmfh.embeddings.table import EmbeddingTable, refuse_straddling
from mcmfh.errors import InputError
from mcmfh.evaluation.joined import group_percentile, join_tables, qualified
from mcmfh.evaluation.leaks import text_met
from mcmfh.evaluation.pairs import connected
from mcmfh.store import files

ROLES = ("train", "validation", "test")
# A group that equal texts or pictures have merged goes to train when it holds more than this share of the items: asked
# about, it would be one question many times over.
LARGEST_SHARE = 0.1
_PATIENT, _STUDY, _TEXT, _TWIN = "of the same patient", "of the same study", "with an equal text", "with a twin picture"


@dataclass(frozen=True)
class Twins:
    """Pairs of items with nearly equal pictures, and one phrase that says which pictures were compared."""

    pairs: np.ndarray  # int[P, 2]: positions of the two items
    note: str

    @classmethod
    def none(cls, note: str = "nearly equal pictures were not looked for") -> "Twins":
        """No pairs."""
        return cls(np.zeros((0, 2), np.int64), note)


@dataclass(frozen=True)
class Members:
    """The listed items of one archive, as a split needs them; str[N] each. Unknown values are ""."""

    archive: str  # names of groups and studies hold within it
    item_id: np.ndarray
    group: np.ndarray  # patient or case
    study: np.ndarray
    text_key: np.ndarray
    date: np.ndarray
    split: np.ndarray  # as the manifest says

    @property
    def digest(self) -> str:
        """sha256 of everything that is listed."""
        columns = (self.item_id, self.group, self.study, self.text_key, self.date, self.split)
        return files.digest([self.archive, *(column.tolist() for column in columns)])

    @classmethod
    def of_table(cls, table: EmbeddingTable, archive: str) -> "Members":
        """The items of `table` as members, where there is no manifest to ask for the others."""
        group = table.group if table.patient is None else table.patient
        return cls(archive, table.item_id, group, table.study, table.text_key, table.date, table.split)


@dataclass(frozen=True)
class Split:
    """N items and their roles. Items of the archive that trains stand first where there are two archives."""

    protocol: str
    members: tuple[Members, ...]  # one for each archive, their items in this order
    role: np.ndarray  # str[N]: train | validation | test, "" where an item has none
    left_out: np.ndarray  # str[N]: why the split leaves an item out, "" where it does not
    group: np.ndarray  # str[N]: what stands on one side as a whole, named by its least patient
    twins: Twins

    @cached_property
    def digest(self) -> str:
        """sha256 of who has which role, in which group, and whom training has met in another guise."""
        names = [(each.archive, each.item_id.tolist()) for each in self.members]
        columns = (self.role, self.left_out, self.group, self.met_in_train)
        return files.digest([self.protocol, names, *(column.tolist() for column in columns)])

    @property
    def patient(self) -> np.ndarray:
        """str[N]: the groups that the manifests name."""
        return self._column("group")

    @property
    def study(self) -> np.ndarray:
        """str[N]."""
        return self._column("study")

    @property
    def text_key(self) -> np.ndarray:
        """str[N]."""
        return np.concatenate([each.text_key for each in self.members])

    @property
    def item_id(self) -> np.ndarray:
        """str[N]: names hold within an archive."""
        return np.concatenate([each.item_id for each in self.members])

    @cached_property
    def met_in_train(self) -> np.ndarray:
        """bool[N]: items outside training whose text or twin is in training; a manifest's own split may have such."""
        train = self.role == "train"
        met = text_met(self.text_key, train) | np.isin(self.twin_set, self.twin_set[train])
        outside: np.ndarray = met & ~train
        return outside

    @cached_property
    def twin_set(self) -> np.ndarray:
        """int64[N]: the first item of each item's set of twins; pairs connect a set, but are not all of its pairs."""
        return connected([np.arange(len(self.role))], self.twins.pairs)

    def part(self, number: int) -> slice:
        """The positions of the items of the archive `number`."""
        start = self._starts[number]
        return slice(start, start + len(self.members[number].item_id))

    def line(self) -> str:
        """The split in one line, as every page and card says it."""
        counts = ", ".join(f"{(self.role == role).sum():,} {role}" for role in ROLES)
        left_out = (self.left_out != "").sum()
        in_no_part = ((self.role == "") & (self.left_out == "")).sum()
        counts += f", {in_no_part:,} in no part" if in_no_part else ""
        merged = len(np.unique(self.patient)) - len(np.unique(self.group))
        return (
            f"{self.protocol}: {counts}{f', {left_out:,} left out' if left_out else ''}; "
            f"{merged:,} groups merged by study, text or picture; {self.twins.note}; split {self.digest[:12]}"
        )

    def why(self, item_id: str, archive: str | None = None) -> str:
        """Why the item has its role, in one sentence. Raises InputError for an item that the split does not know."""
        archives = np.repeat([each.archive for each in self.members], [len(each.item_id) for each in self.members])
        found = np.flatnonzero((self.item_id == item_id) & ((archives == archive) if archive is not None else True))
        if not len(found):
            raise InputError(f"item '{item_id}' is not in the split; give the item_id of a row of the manifest")
        row = int(found[-1])  # of two archives' items the one that is asked about, not the one that trains
        role = self.role[row] or "in no part"
        because = f", {self.left_out[row]}" if self.left_out[row] else ""
        others = []
        for reason, together in self._together(row):
            names = self.item_id[together & (np.arange(len(self.role)) != row)]
            if len(names):
                shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
                others.append(f"{shown} {reason}")
        beside = f"; beside {'; '.join(others)}" if others else ""
        return f"'{item_id}' is {role} ({self.protocol}{because}), in group '{self.group[row]}'{beside}"

    def apply(self, tables: Sequence[EmbeddingTable]) -> EmbeddingTable:
        """The embedded items, one table an archive, as one table on this split; what is left out is not in it."""
        table = tables[0] if len(tables) == 1 else join_tables(tables, [each.archive for each in self.members])
        rows = []
        for number, each in enumerate(tables):
            position = {name: i for i, name in enumerate(self.members[number].item_id.tolist())}
            rows.append(self._starts[number] + np.array([position[name] for name in each.item_id.tolist()], np.int64))
        row = np.concatenate(rows)
        on_split = replace(
            table,
            split=self.role[row],
            group=self.group[row],
            patient=self.patient[row],
            text_key=self.text_key[row],
            met_in_train=self.met_in_train[row],
            coverage=Coverage.count(self.role.tolist(), self.role[row].tolist()),
            archive="" if len(self.members) > 1 else self.members[0].archive,
            split_line=self.line(),
            split_digest=self.digest,
            archive_digest=files.digest([[each.digest for each in self.members], [_contents(each) for each in tables]]),
        )
        return on_split.select(self.left_out[row] == "")

    @property
    def _starts(self) -> list[int]:
        return [sum(len(each.item_id) for each in self.members[:number]) for number in range(len(self.members))]

    def _column(self, name: str) -> np.ndarray:
        columns = [getattr(each, name) for each in self.members]
        return columns[0] if len(columns) == 1 else qualified(columns, [each.archive for each in self.members])

    def _together(self, row: int) -> list[tuple[str, np.ndarray]]:
        """(reason, bool[N]): the items that belong to the item at `row` for that reason."""
        text = self.text_key == self.text_key[row]
        return [
            (_PATIENT, self.patient == self.patient[row]),
            (_STUDY, self.study == self.study[row]),
            (_TEXT, text & (self.text_key != "")),
            (_TWIN, self.twin_set == self.twin_set[row]),
        ]


def make_split(
    target: Members,
    until: date | None = None,
    source: Members | None = None,
    validation_percent: int = 10,
    twins: Twins | None = None,
    straddling: bool = False,
) -> Split:
    """The split of the archive `target`, under one of four protocols.

    - Without options the manifest's own roles, or else the roles that each group's name gives (`split_of`).
    - `until`: items before that day train, the others are asked. Items whose date does not tell are left out.
    - `source`: its items train, and all of `target` is asked.
    - Both: items of `source` before that day train, items of `target` from it on are asked.

    Of the groups that train, `validation_percent` become validation. `twins` holds positions in one list of all items:
    those of `source`, if there is one, stand before those of `target`.
    Raises InputError where a patient stands on two sides of the manifest's split (unless `straddling` is allowed), for
    a date that cannot be read, and when nothing trains or nothing is asked.
    """
    members = (target,) if source is None else (source, target)
    empty = np.full(sum(len(each.item_id) for each in members), "")
    draft = Split("", members, empty, empty, empty, twins or Twins.none())
    if source is None and until is None and (target.split != "").any():
        if not straddling:
            refuse_straddling(target.group, target.split)
        return replace(draft, protocol="the manifest's split", role=target.split, group=target.group)
    group = _merged(draft)
    if source is None and until is None:
        role = _roles_by_name(group, draft.patient)
        return replace(draft, protocol="split by group, 20 % test and 10 % validation", role=role, group=group)
    own = np.repeat([source is None or each is source for each in members], [len(each.item_id) for each in members])
    asked_of = np.repeat([each is target for each in members], [len(each.item_id) for each in members])
    early = late = np.ones(len(own), bool)
    if until is not None:
        early, late = (np.concatenate(side) for side in zip(*(sides_of_date(each, until) for each in members)))
    train, test = own & early, asked_of & late
    left_out = np.where(early | late, "", "left out because its date does not tell on which side it is")
    if source is None:
        # A patient of the training set is no new patient.
        shared = test & np.isin(group, group[train])
        left_out = np.where(shared, "left out because what belongs to it trains", left_out)
        test &= ~shared
        protocol = f"train before {until}, test from it on"
    else:
        # What belongs to an item that is asked about is left out as a whole: the rest would leak what they share.
        shared = train & np.isin(group, group[test])
        left_out = np.where(shared, "left out because what belongs to it is asked", left_out)
        train &= ~shared
        days = (f" before {until}", f" from {until} on") if until else ("", "")
        protocol = f"train on archive '{source.archive}'{days[0]}, test on archive '{target.archive}'{days[1]}"
    validation = train & (group_percentile(group) < validation_percent)
    role = np.select([test, validation, train], ["test", "validation", "train"], "")
    left_out = np.where(
        (role == "") & (left_out == ""), "left out because it is on the other side of the date", left_out
    )
    for side in ("train", "test"):
        if side not in role:
            raise InputError(f"the split ({protocol}) leaves nothing to {side}; choose another split")
    return replace(draft, protocol=protocol, role=role, left_out=left_out, group=group)


def sides_of_date(members: Members, cut: date) -> tuple[np.ndarray, np.ndarray]:
    """(bool[N], bool[N]): items that are certainly before `cut`, and items that are certainly not.

    Raises InputError for a date that cannot be read.
    """
    texts, of_item = np.unique(members.date, return_inverse=True)
    day_first = day_first_of(texts)
    early, late = np.zeros((2, len(texts)), bool)
    for i, text in enumerate(texts.tolist()):
        if text:
            try:
                known = parse_date(text, day_first)
            except ValueError as error:
                item = members.item_id[of_item == i][0]
                raise InputError(f"item '{item}' has no date to split by: {error}; write it as YYYY-MM-DD") from error
            early[i], late[i] = known.last < cut, known.first >= cut
    return early[of_item], late[of_item]


def _contents(table: EmbeddingTable) -> str:
    """sha256 of the pictures that were embedded, and of the labels."""
    return table.digest("item_id", "labels", *([] if table.image_key is None else ["image_key"]))


def _merged(draft: Split) -> np.ndarray:
    """str[N]: the least patient of all that an item is connected to."""
    patients, patient = np.unique(draft.patient, return_inverse=True)
    nameless = np.char.add("item ", np.arange(len(patient)).astype(str))
    texts = np.where(draft.text_key == "", nameless, draft.text_key)
    links = [np.unique(names, return_inverse=True)[1] for names in (draft.study, texts)]
    component = connected([patient, *links], draft.twins.pairs)
    least = np.full(len(patient), len(patients))
    np.minimum.at(least, component, patient)
    merged: np.ndarray = patients[least[component]]
    return merged


def _roles_by_name(group: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """str[N]: each group's role by its name; "train" for a large group of several patients."""
    names, of_item, sizes = np.unique(group, return_inverse=True, return_counts=True)
    pairs = np.unique(np.stack([of_item, np.unique(patient, return_inverse=True)[1]]), axis=1)
    several = np.bincount(pairs[0], minlength=len(names)) > 1
    large = several & (sizes > LARGEST_SHARE * len(group))
    roles = np.array(["train" if to_train else split_of(name) for name, to_train in zip(names.tolist(), large)])
    of_items: np.ndarray = roles[of_item]
    return of_items
