"""The examples in CONTRIBUTING.md, as they stand there: each does what the text says of it."""

import re
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.planted import planted_table

from mcmfh.archive.manifest import check_manifest
from mcmfh.evaluation.ranking import TiedRanking

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()


def example(file: str) -> SimpleNamespace:
    """The names that the example for `file` defines."""
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if block.startswith(f"# {file}\n")
    ]
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, file, "exec"), names)
    return SimpleNamespace(**names)


def test_every_example_is_tested():
    files = re.findall(r"```python\n# (\S+)\n", TEXT)
    assert sorted(files) == sorted(re.findall(r'example\("([^"]+)"\)', Path(__file__).read_text()))


def test_the_encoder_embeds_images_and_reports():
    thumbnail = example("mcmfh/encoders/thumbnail.py")
    encoder = thumbnail.load("cpu")
    pixels = np.stack([encoder.spec.preprocessing(Image.new("L", (9, 7), value)) for value in (0, 255)])
    images, reports = encoder.encode_images(pixels, 4), encoder.encode_reports(["aab", "ü"], 4)
    assert images.shape == (2, encoder.spec.image_width)
    assert images.min(1).tolist() == images.max(1).tolist() == [0, 255]
    assert reports.shape == (2, encoder.spec.report_width)
    assert (reports[0, ord("a")], reports[0, ord("b")], reports[0].sum(), reports[1, 127]) == (2, 1, 3, 1)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_the_measure_is_the_mean_over_all_orders_of_the_ties(at):
    hit_rate = example("mcmfh/evaluation/hit_rate.py").hit_rate
    ranking = TiedRanking(np.array([[3, 0, 2], [1, 3, 1]]), np.array([[1, 0, 1], [0, 2, 0]]))
    for query, (items, relevant) in enumerate(zip(ranking.items, ranking.relevant)):
        blocks = [[True] * hits + [False] * (count - hits) for count, hits in zip(items, relevant)]
        orders = [[]]
        for block in blocks:
            orders = [[*order, *tied] for order in orders for tied in permutations(block)]
        hits = [any(order[:at]) for order in orders]
        assert hit_rate(ranking, at)[query] == pytest.approx(np.mean(hits))
        assert hit_rate(ranking, at, "worst")[query] == min(hits)
        assert hit_rate(ranking, at, "best")[query] == max(hits)


def test_the_baseline_hashes_items_that_it_never_saw():
    table = planted_table()
    codes = example("mcmfh/hashing/baselines/cca_sign.py").CcaSign().fit(table.of_split("train"), 8, 0).hash(table)
    assert codes["image"].shape == codes["report"].shape == (len(table), 1)
    apart = np.bitwise_count(codes["image"] ^ codes["report"]).mean()
    assert apart < np.bitwise_count(codes["image"] ^ np.roll(codes["report"], 7, 0)).mean()


def test_the_source_makes_a_sound_manifest(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("name,caption\na,Chest.\nb,Knee.\n")
    table = example("mcmfh/archive/sources/captions.py").captions(str(tmp_path))
    assert check_manifest(table) == []
    assert table["report"].to_pylist() == ["Chest.", "Knee."]
    assert [uri is not None for uri in table["image_uri"].to_pylist()] == [True, False]
