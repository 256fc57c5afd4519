"""The demo's page in a real browser: every text as text, nothing beside the screen."""

import base64
import io

from PIL import Image

from mcmfh.demo.page import MEASURES, WAYS, AnsweredQuery, Hit, write_page
from mcmfh.demo.queries import finest_shared
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.scores import Evaluation, Score
from mcmfh.pipeline.hash import Published
from mcmfh.snapshots.document import SnapshotDocument


def test_labels_are_text_and_break_between_words(browser, tmp_path):
    drawn = io.BytesIO()
    Image.new("L", (8, 8)).save(drawn, "png")
    picture = "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode()
    labels = ("region:chest", "finding:pleural_effusion", "<b>:&")
    hit = Hit(picture, "No <i>fracture</i>.", labels, 3, "finding")
    answers = [AnsweredQuery(side, picture, "Chest.", labels, "6117", (hit,) * 5) for side in ("image", "report")]
    scores = tuple(Score(SINGLE, way, "unseen", name, *[0.5] * 7, 10, 10) for way in WAYS for name in MEASURES)
    document = SnapshotDocument(None, (), None, 10, 10, (), 2, (), "", "", "", "", (16,))
    published = Published("", 1, document, 12, 10, {})
    write_page(tmp_path / "index.html", answers, Evaluation("mcmfh", 16, 0, "test", False, scores, ()), published, "")
    browser.goto((tmp_path / "index.html").as_uri())
    assert browser.locator("li").all_text_contents() == list(labels) * 12
    assert browser.locator(".blank").first.text_content() == "No <i>fracture</i>."
    for width in (1180, 390):
        browser.set_viewport_size({"width": width, "height": 900})
        assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.locator(".hit li").nth(1).inner_html() == "finding:<wbr>pleural_<wbr>effusion"


def test_cards_say_what_a_hit_shares_with_the_query(tmp_path):
    picture, asked = "data:image/png;base64,", ("region:chest", "finding:effusion")
    others = {
        "same finding": ("region:chest", "finding:effusion", "finding:mass"),
        "same region only": ("region:chest", "finding:normal"),
        "neither": ("region:head", "modality:ct"),
    }
    hits = tuple(Hit(picture, "r", labels, 1, finest_shared(asked, labels)) for labels in others.values())
    scores = tuple(Score(SINGLE, way, "unseen", name, *[0.5] * 7, 10, 10) for way in WAYS for name in MEASURES)
    document = SnapshotDocument(None, (), None, 10, 10, (), 2, (), "", "", "", "", (16,))
    evaluation = Evaluation("mcmfh", 16, 0, "test", False, scores, ())
    answer = AnsweredQuery("image", picture, "", asked, "6117", hits)
    write_page(tmp_path / "index.html", [answer], evaluation, Published("", 1, document, 12, 10, {}), "")
    page = (tmp_path / "index.html").read_text()
    places = [page.index(f'<span class="tag">{name}</span>') for name in others]
    assert places == sorted(places)
    assert "mAP@all finding within region report→image" in page
