"""The demo's page in a real browser: every text as text, nothing beside the screen."""

import base64
import io

from PIL import Image

from mcmfh.demo.page import AnsweredQuery, Hit, write_page
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.scores import Evaluation, Score
from mcmfh.pipeline.hash import Published
from mcmfh.snapshots.document import SnapshotDocument


def test_labels_are_text_and_break_between_words(browser, tmp_path):
    drawn = io.BytesIO()
    Image.new("L", (8, 8)).save(drawn, "png")
    picture = "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode()
    labels = ("region:chest", "finding:pleural_effusion", "<b>:&")
    hit = Hit(picture, "No <i>fracture</i>.", labels, 3, True)
    answers = [AnsweredQuery(side, picture, "Chest.", labels, "6117", (hit,) * 5) for side in ("image", "report")]
    ways = ("image→report", "report→image")
    scores = tuple(Score(SINGLE, way, "unseen", "mAP@all", *[0.5] * 7, 10, 10) for way in ways)
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
