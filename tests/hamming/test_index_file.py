"""Saved indexes: opened as they were, and refused or harmless when they are not.

Two kinds of attack. Damage changes bytes and leaves the checksums to tell of it: `verify` must refuse every such file.
Malice writes a well-formed file whose arrays or facts lie: it may be refused or opened, but no search may crash, and no
id may come back that the index cannot hold.
"""

import numpy as np
import pytest
from support.hamming_reference import random_codes

from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.hamming.index_file import open_arrays, save_arrays

# bits, items, whether ids are kept: a bucket table, a scan, a multi-index of each layout.
ENGINES = {
    "table": (8, 120, False, "inline"),
    "table with ids": (8, 120, True, "inline"),
    "scan": (64, 60, True, "inline"),
    "inline": (32, 400, False, "inline"),
    "reference": (32, 400, True, "reference"),
}


def saved(path, kind):
    bits, n, with_ids, layout = ENGINES[kind]
    random = np.random.default_rng(5)
    ids = np.sort(random.permutation(4 * n)[:n]) if with_ids else None
    index = HammingIndex(random_codes(random, n, bits, "near"), ids, layout=layout)
    index.save(path)
    return index


def survives(path):
    """Open and search every way; True if all of it worked, False if it was refused in one clear sentence."""
    random = np.random.default_rng(0)
    try:
        index = HammingIndex.open(path)
        queries = random_codes(random, 4, index.bits)
        for answer in (
            index.search(queries, 10),
            index.search(queries, 500),
            index.search(queries, 3, allowed=random.random(len(index.ids)) < 0.3),
        ):
            assert answer[1].dtype == np.int64
            if index._state.ids is None:
                assert answer[1].max() < len(index)
        index.remove(index.ids[:1])
        index.search(queries, 10)
        index.compact()
    except InputError:
        return False
    return True


def damaged(random, content):
    """A copy with something wrong: flipped bytes, zeros, a lost or repeated stretch, a cut or a tail."""
    content, at = bytearray(content), int(random.integers(len(content)))
    length = int(random.integers(1, 64))
    match random.integers(6):
        case 0:
            for place in (at, *random.integers(0, min(len(content), 600), random.integers(0, 3))):
                content[place] ^= int(random.integers(1, 256))
        case 1:
            content[at : at + length] = bytes(len(content[at : at + length]))
        case 2:
            del content[at : at + length]
        case 3:
            content[at:at] = content[at : at + length]
        case 4:
            del content[at:]
        case _:
            content += random.bytes(length)
    return bytes(content)


def lying(random, path, facts, arrays):
    """A file with sound checksums that says what is not so: values, shapes, types, names, facts."""
    facts, arrays = dict(facts), {name: array.copy() for name, array in arrays.items()}
    name = str(random.choice(list(arrays)))
    array = arrays[name]
    match random.integers(6):
        case 0 | 1 | 2 if array.size:
            flat = array.reshape(-1)
            for _ in range(random.integers(1, 4)):
                at = random.integers(min(array.size, 2000)) if random.random() < 0.5 else random.integers(array.size)
                width = array.dtype.itemsize
                edge = [bytes(width), b"\xff" * width, random.bytes(width)][random.integers(3)]
                flat[at] = np.frombuffer(edge, array.dtype)[0]
        case 3:
            arrays[name] = array.reshape(-1)[: random.integers(array.size + 1)]
        case 4:
            other = str(random.choice(["|u1", "<u2", "<u4", "<i8", "<f8"]))
            arrays[name] = array.astype(other) if random.random() < 0.5 else array[..., None]
        case _:
            fact = str(random.choice(["bits", "layout", "engine", "ids"]))
            facts[fact] = [16, 24, 64, -1, "x", None, "Scan", "MultiIndex", [], 1e9][random.integers(10)]
            arrays.pop("ids" if random.random() < 0.5 else name, None)
    save_arrays(path, facts, arrays)


def attack(tmp_path, kind, files, seed):
    path, target = tmp_path / "sound.index", tmp_path / "target.index"
    saved(path, kind)
    content, (facts, arrays), random = path.read_bytes(), open_arrays(path), np.random.default_rng(seed)
    refused = 0
    for number in range(files):
        if number % 2:
            lying(random, target, facts, arrays)
            refused += not survives(target)
        else:
            changed = damaged(random, content)
            if changed == content:
                continue
            target.unlink(missing_ok=True)
            target.write_bytes(changed)
            with pytest.raises(InputError, match="not a sound index file"):
                HammingIndex.open(target, verify=True)
            refused += not survives(target)
    assert refused > files // 10


@pytest.mark.parametrize("kind", ENGINES)
def test_damaged_and_hostile_files(tmp_path, kind):
    attack(tmp_path, kind, 120, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENGINES)
def test_ten_thousand_damaged_and_hostile_files(tmp_path, kind):
    attack(tmp_path, kind, 2000, seed=1)


def test_what_is_no_index_at_all(tmp_path):
    for name, content in {"empty": b"", "text": b"hello" * 100, "magic": b"mcmfhIX1", "zeros": bytes(5000)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            HammingIndex.open(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        HammingIndex.open(tmp_path / "missing")


def test_an_open_16_bit_index_is_four_bytes_an_item(tmp_path):
    n = 1_000_000
    HammingIndex(np.random.default_rng(0).integers(0, 256, (n, 2), dtype=np.uint8)).save(tmp_path / "a.index")
    bound = 1.1 * (4 * n + 2**18)
    assert HammingIndex.open(tmp_path / "a.index").nbytes <= bound
    assert (tmp_path / "a.index").stat().st_size <= bound


@pytest.mark.parametrize(("layout", "most"), [("reference", 26), ("inline", 50)])
def test_memory_of_a_64_bit_index(layout, most):
    n = 1_000_000
    index = HammingIndex(np.random.default_rng(0).integers(0, 256, (n, 8), dtype=np.uint8), layout=layout)
    assert index.nbytes <= most * n
