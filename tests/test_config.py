"""ray_config.yaml and overrides: typed, frozen, and every mistake is named."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mcmfh.command import guarded, parse
from mcmfh.config import Config, load_config
from mcmfh.errors import InputError
from mcmfh.hashing.settings import TrainSettings
from mcmfh.learning.run_settings import gpus_to_ask_for

REPOSITORY = Path(__file__).parent.parent


def test_the_shipped_file_states_the_defaults():
    assert load_config(path=str(REPOSITORY / "ray_config.yaml")) == Config()


def test_every_line_of_the_shipped_file_states_the_default(tmp_path):
    """Whichever line is removed, the configuration stays the same."""
    stated = yaml.safe_load((REPOSITORY / "ray_config.yaml").read_text())
    lines = [
        (section, key) for section, values in stated.items() for key in (values if isinstance(values, dict) else [None])
    ]
    assert ("train", "workers") in lines
    for section, key in lines:
        if key is None:
            fewer = {name: values for name, values in stated.items() if name != section}
        else:
            fewer = {**stated, section: {name: value for name, value in stated[section].items() if name != key}}
        (tmp_path / "fewer.yaml").write_text(yaml.safe_dump(fewer))
        assert load_config(path=str(tmp_path / "fewer.yaml")) == Config(), (section, key)


def test_overrides_win_and_are_typed():
    config = load_config(
        ["train.bits=32", "archive.filters=[modality, region]", "encoder.use_gpu=false"], read_default=False
    )
    assert config.train.bits == 32
    assert config.archive.filters == ("modality", "region")
    assert config.encoder.use_gpu is False
    with pytest.raises(ValidationError):
        config.store = "elsewhere"


@pytest.mark.parametrize(
    ("override", "culprit"),
    [
        ("train.bitz=32", "'train.bitz' is not known"),
        ("trian.bits=32", "'trian' is not known"),
        ("train.bits=33", "train.bits"),
        ("embed.unit_items=many", "embed.unit_items"),
        ("archive.max_failure_rate=2", "archive.max_failure_rate"),
        ("archive.name=../../etc", "archive.name"),
        ("evaluate.train_archive=a/b", "evaluate.train_archive"),
        ("encoder.num_gpus=1.5", "encoder.num_gpus"),
        ("train.num_gpus=-1", "train.num_gpus"),
        ("serve.num_gpus=2.25", "serve.num_gpus"),
        ("store", "section.key=value"),
        ("store.deeper=1", "'store' is a value"),
        ("train.bits=[16", "not a YAML value"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(override, culprit, capsys):
    with pytest.raises(InputError) as caught:
        load_config([override], path=str(REPOSITORY / "ray_config.yaml"))
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)
    assert guarded(lambda: load_config([override], path=str(REPOSITORY / "ray_config.yaml")) and None) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_config(path=str(tmp_path / "none.yaml"))
    (tmp_path / "broken.yaml").write_text("store: [")
    with pytest.raises(InputError, match="not YAML"):
        load_config(path=str(tmp_path / "broken.yaml"))


def test_command_line_takes_a_file_and_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("store: s3://bucket/prefix")
    config = parse(["train.seed=3", "--config", "mine.yaml"], "usage")
    assert (config.store, config.train.seed) == ("s3://bucket/prefix", 3)
    with pytest.raises(InputError, match="--config needs"):
        parse(["--config"], "usage")


def test_gpus_that_are_asked_for_do_not_say_where_tensors_are():
    for section in ("encoder", "train", "pretrain", "serve"):
        settings = getattr(load_config([], read_default=False), section)
        assert (gpus_to_ask_for(settings.num_gpus, "cpu"), gpus_to_ask_for(settings.num_gpus, "cuda")) == (0, 1)
        settings = getattr(load_config([f"{section}.num_gpus=0.25"], read_default=False), section)
        assert gpus_to_ask_for(settings.num_gpus, "cpu") == gpus_to_ask_for(settings.num_gpus, "cuda") == 0.25


def test_where_a_training_runs_is_no_part_of_its_work():
    plain, claimed = TrainSettings(), TrainSettings(device="cpu", num_gpus=0.5, workers=1)
    assert plain.work == claimed.work
