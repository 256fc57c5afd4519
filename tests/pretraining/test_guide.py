"""A guide goes with its pair through decoding, and towers learn what it says and nothing else."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image
from support.drawn_pairs import LEVELS, SIDES, draw, make_vocabulary, small

from mcmfh.archive.images import Limits
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.pretraining.feed import from_memory
from mcmfh.pretraining.fitting import fit, make_optimizer
from mcmfh.pretraining.metrics import embed_pairs
from mcmfh.pretraining.pairs import Pairs, decode_pairs
from mcmfh.pretraining.trainee import Trainee


def one_hot(reports: list[str], words: tuple[str, ...]) -> np.ndarray:
    return np.array([[word in report for word in words] for report in reports], np.float32)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_it_stays_with_its_pair_when_others_cannot_be_read(tmp_path):
    pixels, reports = draw(6)
    rows = []
    for i, (picture, report) in enumerate(zip(pixels, reports)):
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "png")
        (tmp_path / f"{i}.png").write_bytes(b"no picture" if i in (0, 3) else data.getvalue())
        guide = np.array([i, i + 0.5], np.float32)
        rows.append({"image_uri": str(tmp_path / f"{i}.png"), "report": report, "report_uri": None, "guide": guide})
    read = decode_pairs(rows, Limits(), ImagePreprocessing(32, "squash"), make_vocabulary())
    np.testing.assert_array_equal(read.guide, [[i, i + 0.5] for i in (1, 2, 4, 5)])
    np.testing.assert_array_equal(read.pixels, pixels[[1, 2, 4, 5]])
    nothing = decode_pairs([rows[0], rows[3]], Limits(), ImagePreprocessing(32, "squash"), make_vocabulary())
    assert nothing.guide.shape == (0, 2)


def test_towers_learn_the_likeness_that_the_guide_gives():
    """Told that pictures of one level are alike, they tell levels apart and sides hardly; told of sides, sides."""
    pixels, reports = draw(320)
    pairs = Pairs(pixels, make_vocabulary().padded(reports))
    settings = small(targets="graded", reconstruction=False, target_temperature=0.1, epochs=12, batch_size=32)
    kinds = {words: one_hot(reports, words) for words in (LEVELS, SIDES)}
    for taught, guide in kinds.items():
        trainee = Trainee(settings, make_vocabulary())
        feed = from_memory(replace(pairs, guide=guide)[:256], settings)
        fit(trainee, make_optimizer(trainee, settings), feed, settings, 256)
        image, report = embed_pairs(trainee.model.eval(), pairs[np.arange(256, 320)])
        agreement = {words: correlation(image @ report.T, of[256:] @ of[256:].T) for words, of in kinds.items()}
        other = next(words for words in kinds if words != taught)
        assert agreement[taught] > 0.5 > 0.3 > agreement[other], agreement
