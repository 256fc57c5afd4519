"""A lexicon beside an encoder: what its directions say, what its digest covers, and what is refused."""

import numpy as np
import pytest
from support.dual_encoders import write_open_clip

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.encoders.lexicon import Lexicon, fit_lexicon, load_lexicon, open_lexicon, save_lexicon, words
from mcmfh.errors import InputError

BONES = ["scaphoid", "lunate", "hamate", "capitate", "triquetrum"]
REPORTS = [
    f"Fracture of the {bone}, {side} wrist, {i} mm" for i in range(4) for bone in BONES for side in ("left", "right")
]
CLIP = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
}


def test_words_are_lower_case_and_no_numbers():
    assert list(words("No 3 mm T2-weighted Ödem, a fracture_line")) == [
        "no",
        "mm",
        "weighted",
        "ödem",
        "fracture",
        "line",
    ]


def by_hand(reports):
    """(terms, tf-idf [N, V]) with dense arrays and sums written out."""
    terms = sorted({word for report in reports for word in words(report)})
    terms = [term for term in terms if sum(term in set(words(report)) for report in reports) >= 2]
    table = np.zeros((len(reports), len(terms)))
    for i, report in enumerate(reports):
        for j, term in enumerate(terms):
            number = list(words(report)).count(term)
            containing = sum(term in set(words(each)) for each in reports)
            if number:
                table[i, j] = (1 + np.log(number)) * (np.log((1 + len(reports)) / (1 + containing)) + 1)
        table[i] /= np.linalg.norm(table[i])
    return terms, table


def test_vectors_keep_the_likeness_of_tf_idf():
    # Drawn unevenly: among equally frequent words, which directions lead would be chance.
    rng = np.random.default_rng(0)
    drawn = [" ".join(rng.choice(["mass", *BONES, "left", "of"], 6, p=np.arange(1, 9) / 36)) for _ in range(30)]
    lexicon = fit_lexicon(drawn, 5)
    terms, table = by_hand(drawn)
    assert list(lexicon.terms) == terms
    left, size, right = np.linalg.svd(table, full_matrices=False)
    best = (left[:, :5] * size[:5]) @ right[:5]
    ours = lexicon.vectors(drawn)
    np.testing.assert_allclose(ours @ ours.T, best @ best.T, atol=1e-5)


def test_a_text_has_the_same_vector_in_any_company():
    lexicon = fit_lexicon(REPORTS, 5)
    together = lexicon.vectors([*REPORTS, "unheard of", ""])
    for i in (0, 3, len(REPORTS), len(REPORTS) + 1):
        alone = lexicon.vectors([[*REPORTS, "unheard of", ""][i]])[0]
        assert np.array_equal(alone, together[i])
    assert not together[-1].any()


def test_too_few_words_are_refused():
    with pytest.raises(InputError, match="64 directions"):
        fit_lexicon(REPORTS, 64)


@pytest.fixture
def beside(tmp_path):
    """(URI of a lexicon beside a small model of open_clip, that model's folder)."""
    folder = tmp_path / "clip"
    write_open_clip(folder, CLIP)
    base = {"name": "open_clip", "source": str(folder)}
    return save_lexicon(str(tmp_path / "store" / "encoders"), fit_lexicon(REPORTS, 5), base, {"seen": None}), folder


def test_a_report_is_what_the_encoder_says_and_its_words(beside):
    uri, folder = beside
    encoder, base = load_encoder("lexical", "cpu", uri), load_encoder("open_clip", "cpu", str(folder))
    assert (encoder.spec.image_width, encoder.spec.report_width) == (24, 29)
    found = encoder.encode_reports(REPORTS[:3], fixed_batch=4)
    assert np.array_equal(found[:, :24], base.encode_reports(REPORTS[:3], fixed_batch=4))
    assert np.array_equal(found[:, 24:], load_lexicon(open_lexicon(uri)).vectors(REPORTS[:3]))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert np.array_equal(encoder.encode_images(pixels), base.encode_images(pixels))
    assert encoder.encode_reports([]).shape == (0, 29)


def test_digest_follows_the_lexicon_and_the_encoder(beside, tmp_path):
    uri, folder = beside
    digests = {encoder_spec("lexical", "cpu", uri).digest, encoder_spec("open_clip", "cpu", str(folder)).digest}
    lexicon = fit_lexicon(REPORTS, 5)
    turned = Lexicon(lexicon.terms, lexicon.idf, -lexicon.directions)
    base = {"name": "open_clip", "source": str(folder)}
    other = save_lexicon(str(tmp_path / "other"), turned, base, {"seen": None})
    digests.add(encoder_spec("lexical", "cpu", other).digest)
    assert save_lexicon(str(tmp_path / "other"), lexicon, base, {"seen": None}).rpartition("/")[2] in uri
    weights = folder / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    digests.add(encoder_spec("lexical", "cpu", uri).digest)
    assert len(digests) == 4


def test_a_changed_file_is_refused(beside, tmp_path):
    uri, _ = beside
    path = tmp_path / "store" / "encoders" / uri.rpartition("/")[2] / "terms.txt"
    path.write_text(path.read_text().replace("lunate", "lunatic"))
    with pytest.raises(InputError, match=r"terms\.txt of lexicon"):
        load_encoder("lexical", "cpu", uri)
    with pytest.raises(InputError, match=r"jobs/lexicon\.py"):
        encoder_spec("lexical", "cpu", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"encoder\.source"):
        encoder_spec("lexical", "cpu")
