"""A comparison trains every row with every seed and says which looked at labels."""

import pytest

from mcmfh.config import load_config
from mcmfh.errors import InputError
from mcmfh.hashing.settings import TrainSettings


def test_rows_of_each_comparison():
    from mcmfh.pipeline.comparison import ROWS, chosen_rows

    base = TrainSettings(bits=16, epochs=2, batch_size=64)
    rows = {name: make(base) for name, make in ROWS.items()}
    assert [row.settings.supervised for row in rows["methods"] if row.settings] == [False, False, True]
    assert {row.baseline for row in rows["methods"] if row.baseline} >= {"lsh", "cca-itq", "ucmfh", "dscph", "ddbh"}
    assert all(row.settings.epochs == 2 and row.settings.workers == 0 for row in rows["ablation"])
    assert len({row.settings for row in rows["ablation"]}) == len(rows["ablation"]), "every row differs"
    assert rows["bits"][0].settings.all_bits == (8, 16, 32, 64, 128)
    assert [row.name for row in chosen_rows(rows["methods"], ("MCMFH (s", "lsh"))] == ["MCMFH (supervised)", "lsh"]
    with pytest.raises(InputError, match="begins with 'x'"):
        chosen_rows(rows["methods"], ("x",))


def test_an_encoder_without_a_common_space_gets_one(cluster, tmp_path, monkeypatch):
    from support.planted import SPEC, planted_table

    from mcmfh.pipeline import evaluate

    monkeypatch.setattr(evaluate, "embedding_table", lambda config, archive: (SPEC, planted_table()))
    found = evaluate.evaluate_encoder(load_config([f"store={tmp_path}"], read_default=False), None)
    assert [each.method for each in found.evaluations] == ["encoder precomputed, ridge CCA"]
    scores = {s.measure: s.value for s in found.evaluations[0].scores}
    assert scores["R@10"] > 3 * 10 / 48, "chance: ten of 48 test items"


def test_every_row_and_seed_is_measured_once(cluster, tmp_path):
    from support.planted import planted_table

    from mcmfh.encoders import EncoderSpec, ImagePreprocessing
    from mcmfh.pipeline.comparison import Row, compare

    table = planted_table()
    widths = table.image.shape[1], table.report.shape[1]
    spec = EncoderSpec("packaged", "w", "a", ImagePreprocessing(), *widths, "cpu")
    rows = [
        Row("short", TrainSettings(bits=(8, 16), epochs=2, batch_size=32, workers=0)),
        Row("lsh", baseline="lsh"),
        Row("cosine", baseline="cca-cosine"),
    ]
    arguments = (rows, 2, table, spec, (16,), str(tmp_path))
    found = [each for evaluations in compare(*arguments) for each in evaluations]
    assert sorted((each.method, each.bits or 0, each.seed) for each in found) == [
        ("cosine", 0, 0),
        ("cosine", 0, 1),
        ("lsh", 16, 0),
        ("lsh", 16, 1),
        ("short", 8, 0),
        ("short", 8, 1),
        ("short", 16, 0),
        ("short", 16, 1),
    ]
    assert not any(each.supervised for each in found)
    looks = {score.measure for each in found if each.method == "short" and each.bits == 8 for score in each.scores}
    assert "mAP@50, 8 bits, first 200 by 16-bit codes" in looks
    # A finished comparison measures nothing: `object()` has no `remote` to call.
    again = [each for evaluations in compare(*arguments, measure=object()) for each in evaluations]
    assert {(each.method, each.bits, each.seed): each for each in again} == {
        (each.method, each.bits, each.seed): each for each in found
    }


def test_a_split_needs_models_trained_on_it():
    from mcmfh.pipeline.evaluate import evaluate_latest

    config = load_config(["evaluate.train_until=2020-01-01"], read_default=False)
    with pytest.raises(InputError, match=r"evaluate\.compare"):
        evaluate_latest(config, None)
