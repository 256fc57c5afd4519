"""Over archives drawn at random and under every protocol, what is reported is what METHOD.md says, item by item."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from support.brute_force import BITS, MEASURES, rankings, recall
from support.drawn_archives import CUT, DrawnArchive, components, expected_sides
from support.embedded import configured, embed
from support.planted import SPEC

from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate
from mcmfh.evaluation.evaluate import COLUMNS
from mcmfh.evaluation.leaks import APART
from mcmfh.hashing.preparation import training_digest
from mcmfh.hashing.settings import TrainSettings
from mcmfh.pipeline.train import embedding_table

PROTOCOLS = ("manifest", "by group", "until", "source", "source until", "same archive", "same archive until")
WAYS = {"image→report": ("image", "report"), "report→image": ("report", "image")}
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def on_split(folder, target, source, protocol, *more):
    """The embedded table on the configured split, through manifests, a store and the configuration."""
    options = [f"archive.name={target.name}"]
    if source:
        manifest = source.write(folder)
        config = configured(folder, manifest)
        embed(config, source.table(), source.embedded_rows())
        options.append(f"evaluate.train_manifest={manifest}")
        if protocol.startswith("same"):
            options.append(f"evaluate.train_archive={target.name}")
    if protocol.endswith("until"):
        options.append(f"evaluate.train_until={CUT}")
    config = configured(folder, target.write(folder), *options, *more)
    return embedding_table(config, embed(config, target.table(), target.embedded_rows()), SPEC)[1]


def draw(seed, size, protocol):
    target = DrawnArchive.draw("target", seed, size, splits=protocol == "manifest")
    source = None
    if protocol.startswith(("source", "same")):
        source = DrawnArchive.draw("source", seed + 1, size, splits=False)
    return target, source


def with_roles(table, target, source, protocol):
    """The embedded records that the split keeps, in the order of the table, each with its role; and all records."""
    if protocol.startswith("same"):
        for item in source.items:
            item.archive = target.name
    records = [*(source.items if source else []), *target.items]
    archives = [source] * len(source.items) if source else []
    archives += [target] * len(target.items)
    by_vector = {}
    for record, archive in zip(records, archives):
        by_vector[archive is source, record.item_id] = record
    kept, seen = [], set()
    for i, name in enumerate(table.item_id.tolist()):
        of_source = source is not None and table.split[i] in ("train", "validation")
        record = by_vector[of_source, name]
        assert (of_source, name) not in seen
        seen.add((of_source, name))
        record.role = str(table.split[i])
        kept.append(record)
    return kept, records


def codes_of(table):
    return {
        name: np.packbits(getattr(table, name)[:, :BITS] > 0, axis=1, bitorder="little") for name in ("image", "report")
    }


@FEW
@given(st.sampled_from(PROTOCOLS), st.integers(0, 10**6), st.integers(12, 44))
def test_every_score_is_the_brute_force_one_and_no_test_group_trains(protocol, seed, size):
    target, source = draw(seed, size, protocol)
    assume(any(item.split for item in target.items) == (protocol == "manifest"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            table = on_split(Path(folder), target, source, protocol)
        except InputError as error:
            assume("leaves nothing to" not in str(error) and "is embedded yet" not in str(error))
            raise
    kept, records = with_roles(table, target, source, protocol)
    assume(any(item.role == "test" for item in kept))
    check_sides(protocol, target, source, kept, records)
    trained_texts = {item.text.lower() for item in records if is_trained(item, protocol, kept)} - {""}
    trained_pictures = {item.picture for item in records if is_trained(item, protocol, kept)} - {None}

    def met(item):
        return item.text.lower() in trained_texts or item.picture in trained_pictures

    found = evaluate(codes_of(table), table, BITS, resamples=2)
    reported = {score.key[1:]: score for score in found.scores}
    for way, (asked, stored) in WAYS.items():
        for at in (1, 5, 10):
            values = recall(kept, asked, stored, at)
            if values:
                assert reported.pop((way, "own split", f"R@{at}")).value == pytest.approx(np.mean(values))
        for database in ("seen", "unseen", "all"):
            ranked = rankings(kept, asked, stored, database)
            for name, measure in MEASURES.items():
                check(reported, (way, database, name), [measure(ranking) for _, ranking in ranked])
                rest = [measure(ranking) for query, ranking in ranked if not met(query)]
                both = rest if 0 < len(rest) < len(ranked) else []
                check(reported, (way, database, name + APART), both)
    names = {key[2].removesuffix(APART) for key in reported}
    assert not names & {*MEASURES}, "nothing else is reported"


def is_trained(item, protocol, kept):
    """Listed training items count, embedded or not; in a split of ours nothing that is asked is met by them."""
    return item.split == "train" if protocol == "manifest" else False


def check(reported, key, values):
    if not values:
        assert key not in reported
        return
    score = reported.pop(key)
    assert score.queries == len(values)
    assert score.value == pytest.approx(np.mean(values))


def check_sides(protocol, target, source, kept, records):
    if protocol == "manifest":
        assert all(item.role == item.split for item in kept)
        assert {item.group for item in kept if item.role == "test"}.isdisjoint(
            item.group for item in kept if item.role in ("train", "validation")
        )
        return
    number = dict(zip(map(id, records), components(records)))
    sides = {side: {number[id(item)] for item in kept if item.role == side} for side in ("train", "validation", "test")}
    assert sides["test"].isdisjoint(sides["train"] | sides["validation"])
    assert sides["train"].isdisjoint(sides["validation"])
    if protocol == "by group":
        assert len(kept) == sum(item.embedded for item in records)
        return
    trains, asked = expected_sides(target.items, source.items if source else None, protocol.endswith("until"))
    expected = {id(records[i]): "trains" for i in trains if records[i].embedded}
    expected |= {id(records[i]): "asked" for i in asked if records[i].embedded}
    assert {id(item): "asked" if item.role == "test" else "trains" for item in kept} == expected


CHANGED = {
    "labels": lambda item: frozenset({"organ:a", "find:c"} ^ item.labels) or frozenset({"organ:b"}),
    "study": lambda item: "another study",
    "group": lambda item: "another patient",
    "date": lambda item: "1999-09-09",
    "text": lambda item: "another text",
    "picture": lambda item: 10**6,
}


def digests(target):
    with tempfile.TemporaryDirectory() as folder:
        table = on_split(Path(folder), target, None, "manifest")
    return {
        "archive": table.archive_digest,
        "split": table.split_digest,
        "scores": table.digest("image", "report", *COLUMNS),
        "training": training_digest(table, TrainSettings()),
        "supervised training": training_digest(table, TrainSettings(supervised=True)),
    }


def split_facts(items):
    """What a manifest's own split says of its items: sides, groups, and whom training has met in another guise."""
    trained = [item for item in items if item.split == "train"]
    texts, pictures = {item.text.lower() for item in trained} - {""}, {item.picture for item in trained} - {None}
    return [
        (item.split, item.group, item.split != "train" and (item.text.lower() in texts or item.picture in pictures))
        for item in items
    ]


@settings(FEW, max_examples=40)
@given(st.sampled_from(sorted(CHANGED)), st.integers(0, 10**6), st.integers(0, 23))
@example("picture", 115810, 3)  # three items with one picture: two of them are a pair only through the third
def test_a_changed_column_changes_the_digests_that_depend_on_it_and_no_other(column, seed, row):
    before, after = (DrawnArchive.draw("target", seed, 24, splits=True) for _ in range(2))
    for archive in (before, after):  # so that an item's only patient cannot stand on two sides, and every label is used
        archive.items[row] = replace(archive.items[row], group="its own patient", embedded=True)
        archive.items[(row + 1) % 24].labels = frozenset({"organ:a", "organ:b", "find:c", "find:d"})
        archive.items[(row + 1) % 24].embedded = True
        archive.items[(row + 1) % 24].split = "test"
        archive.items[(row + 1) % 24].group = "a patient of its own"
    item = after.items[row]
    assume(item.picture is not None if column == "picture" else item.text != "" if column == "text" else True)
    assume({each.split for each in before.items} >= {"train", "test"})
    setattr(item, column, CHANGED[column](item))
    assume(getattr(item, column) != getattr(before.items[row], column))
    old, new = digests(before), digests(after)
    paired = item.text != "" and item.picture is not None
    content, studied = column in ("text", "picture", "group"), column in ("study", "labels")
    expected = {
        "archive": True,
        "split": split_facts(before.items) != split_facts(after.items),
        "scores": column != "date",
        "training": paired
        and ((content and item.split == "train") or (item.split == "validation" and (content or studied))),
        "supervised training": paired
        and (
            ((content or column == "labels") and item.split == "train")
            or (item.split == "validation" and (content or studied))
        ),
    }
    assert {name: old[name] != new[name] for name in old} == expected
