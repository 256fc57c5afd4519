"""METHOD.md, section 4, written out query by query and item by item; nothing of the package is used.

A ranking is a list of (distance, relevant). Tie blocks are taken as expectations over their order.
"""

from collections.abc import Callable, Sequence

from support.drawn_archives import Item, vector

BITS = 8
Ranking = list[tuple[int, bool]]


def code(item: Item, modality: str) -> tuple[bool, ...]:
    """The bits of an item: where its vector is greater than 0."""
    return tuple(bool(x > 0) for x in vector(item, modality)[:BITS])


def has(item: Item, modality: str) -> bool:
    return item.picture is not None if modality == "image" else item.text != ""


def distance(one: Sequence[bool], other: Sequence[bool]) -> int:
    return sum(a != b for a, b in zip(one, other))


def blocks(ranking: Ranking) -> list[tuple[int, int, int]]:
    """(distance, items, relevant ones) of each tie block, the nearest first."""
    return [
        (d, sum(e == d for e, _ in ranking), sum(r for e, r in ranking if e == d))
        for d in sorted({d for d, _ in ranking})
    ]


def expected_ap(ranking: Ranking, at: int | None = None) -> float:
    """McSherry & Najork 2008, divided by R for @all and by min(R, k) for @k."""
    total, before, found = 0.0, 0, 0
    for _, n, r in blocks(ranking):
        for i in range(1, n + 1):
            if at is None or before + i <= at:
                total += r / n * (found + 1 + ((i - 1) * (r - 1) / (n - 1) if n > 1 else 0)) / (before + i)
        before, found = before + n, found + r
    relevant = sum(r for _, r in ranking)
    return total / min(relevant, at or relevant) if relevant else 0.0


def expected_precision(ranking: Ranking, at: int) -> float:
    """Relevant items among the first `at`; a block that is cut gives its share."""
    total, before = 0.0, 0
    for _, n, r in blocks(ranking):
        total += r / n * max(0, min(n, at - before))
        before += n
    return total / at


def lookup(ranking: Ranking, radius: int = 2) -> float:
    """Precision within the radius; an empty lookup counts 0."""
    within = [relevant for d, relevant in ranking if d <= radius]
    return sum(within) / len(within) if within else 0.0


MEASURES: dict[str, Callable[[Ranking], float]] = {
    "mAP@all": expected_ap,
    "mAP@50": lambda ranking: expected_ap(ranking, 50),
    "P@10": lambda ranking: expected_precision(ranking, 10),
    "lookup ≤ 2": lookup,
}


def in_database(item: Item, database: str) -> bool:
    return database == "all" or item.role == {"seen": "train", "unseen": "test"}[database]


def rankings(items: Sequence[Item], asked: str, stored: str, database: str) -> list[tuple[Item, Ranking]]:
    """Each labelled query with its ranking: labelled items of the database without the query's own study."""
    queries = [item for item in items if item.role == "test" and has(item, asked) and item.labels]
    rows = [item for item in items if in_database(item, database) and has(item, stored) and item.labels]
    return [
        (
            query,
            [
                (distance(code(query, asked), code(row, stored)), bool(query.labels & row.labels))
                for row in rows
                if (row.archive, row.study) != (query.archive, query.study)
            ],
        )
        for query in queries
        if rows
    ]


def recall(items: Sequence[Item], asked: str, stored: str, at: int) -> list[float]:
    """R@K of every test pair: items of one study or with equal texts are one answer, also through others."""
    pairs = [item for item in items if item.role == "test" and has(item, "image") and has(item, "report")]
    answer = list(range(len(pairs)))
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs[:i]):
            same = (one.archive, one.study) == (other.archive, other.study) or one.text.lower() == other.text.lower()
            if same:
                answer = [answer[j] if each == answer[i] else each for each in answer]
    values = []
    for query, own in zip(pairs, answer):
        nearest: dict[int, int] = {}
        for item, number in zip(pairs, answer):
            d = distance(code(query, asked), code(item, stored))
            nearest[number] = min(d, nearest.get(number, d))
        closer = sum(d < nearest[own] for d in nearest.values())
        tied = sum(d == nearest[own] for d in nearest.values())
        values.append(min(1.0, max(0.0, (at - closer) / tied)))
    return values
