"""A comparison trains every row with every seed and says which looked at labels."""

import pytest

from mcmfh.config import load_config
from mcmfh.errors import InputError
from mcmfh.hashing.settings import TrainSettings


def test_rows_of_each_comparison():
    from mcmfh.pipeline.comparison import ROWS, chosen_rows

    base = TrainSettings(bits=16, epochs=2, batch_size=64)
    rows = {name: make(base) for name, make in ROWS.items()}
    assert [row.settings.supervised for row in rows["methods"] if row.settings] == [False] * 6 + [True] * 3
    assert {row.baseline for row in rows["methods"] if row.baseline} >= {"lsh", "cca-itq", "ucmfh", "dscph", "ddbh"}
    assert all(row.settings.epochs == 2 and row.settings.workers == 0 for row in rows["ablation"])
    assert len({row.settings for row in rows["ablation"]}) == len(rows["ablation"]), "every row differs"
    assert rows["bits"][0].settings.all_bits == (8, 16, 32, 64, 128)
    names = [row.name for row in chosen_rows(rows["methods"], ("MCMFH (e", "lsh"))]
    assert names == ["MCMFH (every part of the paper); epochs 2; batch_size 64", "lsh"]
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


BASES = {
    "nothing": {},
    "paper": {"recipe": "paper"},
    "supervised": {"supervised": True},
    "paper, supervised": {"recipe": "paper", "supervised": True},
    "batch and teacher": {"batch_size": 64, "teacher": "report"},
    "paper without experts": {"recipe": "paper", "experts": 1, "gating_loss": 0.0},
    "default with fusion": {"fusion": True, "experts": 2},
    "paper without fusion": {"recipe": "paper", "fusion": False, "experts": 1, "gating_loss": 0.0, "distillation": 0.0},
}


def settings_by_name(name, base, supervised=False):
    """The settings that a row's name says, and nothing else."""
    from mcmfh.hashing.settings import ABLATIONS

    head, *rest = name.split("; ")
    named = {
        "MCMFH (default recipe)": {},
        "MCMFH (every part of the paper)": {"recipe": "paper"},
        "MCMFH (concepts)": {"teacher": "concepts"},
        "closed form": {"method": "closed_form"},
        "automatic": {"method": "auto"},
        "closed form (whole reports)": {"method": "closed_form", "reading": "reports", "mix": (0.5, 0.25, 0.25)},
        "MCMFH (supervised)": {"supervised": True},
        "MCMFH (supervised, any label)": {"supervised": True, "targets": "any_label"},
        "closed form (supervised)": {"method": "closed_form", "supervised": True},
        "any-label targets": {"recipe": "paper", "supervised": True, "targets": "any_label"},
        "MCMFH (every part of the paper, supervised)": {"recipe": "paper", "supervised": True},
        **{key: {"recipe": "paper", "supervised": supervised} | change for key, change in ABLATIONS.items()},
    }
    given = dict(named[head])
    for each in rest:
        key, value = each.split(" ", 1)
        given[key] = {"True": True, "False": False}.get(value, value)
    return TrainSettings(**given)


@pytest.mark.parametrize("comparison", ["methods", "ablation", "bits"])
@pytest.mark.parametrize("base", BASES)
def test_a_row_is_what_it_is_called(comparison, base):
    from mcmfh.pipeline.comparison import ROWS

    asked = TrainSettings(**BASES[base], seed=4, bits=(32, 64))
    rows = [row for row in ROWS[comparison](asked) if row.settings]
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        told = settings_by_name(row.name, asked, asked.supervised).work
        ran = row.settings.work
        assert {k: v for k, v in ran.items() if k not in ("seed", "bits")} == {
            k: v for k, v in told.items() if k not in ("seed", "bits")
        }
        assert ran["seed"] == 4
        assert row.settings.workers == 0


@pytest.mark.parametrize("comparison", ["methods", "ablation", "bits"])
def test_what_somebody_set_holds_in_every_row(comparison):
    from mcmfh.pipeline.comparison import ROWS

    asked = TrainSettings(batch_size=64, teacher="report", learning_rate=0.002, bits=(32, 64))
    for row in ROWS[comparison](asked):
        if row.settings:
            # A row that is called by its teacher has that one.
            by_name = row.name.startswith("MCMFH (concepts)")
            teacher, told = ("concepts", "") if by_name else ("report", "; teacher report")
            assert (row.settings.batch_size, row.settings.teacher, row.settings.learning_rate) == (64, teacher, 0.002)
            assert f"; batch_size 64; learning_rate 0.002{told}" in row.name


def test_the_default_row_of_a_paper_configuration_is_the_default():
    from mcmfh.pipeline.comparison import RECIPE_ROWS, method_rows

    for base in (TrainSettings(), TrainSettings(recipe="paper"), TrainSettings(supervised=True)):
        rows = {row.name: row.settings for row in method_rows(base) if row.settings}
        assert list(rows) == list(RECIPE_ROWS)
        assert rows["MCMFH (default recipe)"].work == TrainSettings().work
        assert rows["MCMFH (every part of the paper)"].work == TrainSettings(recipe="paper").work
        assert rows["MCMFH (supervised)"].work == TrainSettings(supervised=True).work


def test_an_ablation_of_a_supervised_configuration_is_supervised():
    from mcmfh.pipeline.comparison import ablation_rows

    for row in ablation_rows(TrainSettings(supervised=True)):
        assert row.settings.supervised
        assert row.settings.epochs == TrainSettings(supervised=True).epochs
        assert "epochs" not in row.name  # the supervised recipe's own, and the table says supervised


def test_each_row_prints_a_digest_of_its_settings():
    from dataclasses import replace

    from support.planted import planted_table

    from mcmfh.evaluation import evaluate, summarise
    from mcmfh.evaluation.tables import cells, headline_rows

    table = planted_table()
    codes = {name: getattr(table, name).astype("f4")[:, :8] for name in ("image", "report")}
    one = evaluate(codes, table, None, method="m", resamples=2, settings="1234567890")
    other = replace(one, settings="abcdefghij", seed=1)
    assert [row[-1] for row in headline_rows([one, other])] == ["settings", "12345678", "abcdefgh"]
    assert {cells(row)[-1] for row in summarise([one, other])} == {"12345678", "abcdefgh"}
    assert {row.seeds for row in summarise([one, other])} == {1}, "rows of other settings are no seeds of one row"
    assert {row.seeds for row in summarise([one, replace(one, seed=1)])} == {2}
