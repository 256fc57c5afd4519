"""The search page in a real browser, against a real endpoint with a key; by keyboard alone where it can be."""

import io
from urllib.parse import quote

import pytest
from support.local_endpoint import listening
from support.serving_config import served

from mcmfh.client import get, search_endpoint
from mcmfh.errors import InputError
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.page import page as page_file
from mcmfh.serving.replica import Replica

SECRET, DIGEST = new_key()


@pytest.fixture
def endpoint(archive, request):
    """URL of an endpoint on plain uvicorn, whose key may send 1,000 requests a second or `request.param`."""
    rate = getattr(request, "param", 1000)
    config = served(archive, keys=[{"name": "ward", "sha256": DIGEST, "requests_per_second": rate}])
    with listening(application(Replica(config, AccessLog(io.StringIO())))) as url:
        yield url


def enter_key(page, secret=SECRET):
    page.wait_for_selector("dialog[open]")
    page.keyboard.type(secret)
    page.keyboard.press("Enter")


def searched(page):
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#hits li, #status.bad, #status:not(:empty):has-text('Nothing')")
    page.wait_for_selector("#go:not([disabled])")


def test_a_report_is_typed_and_images_are_found_by_keyboard_alone(browser, endpoint):
    browser.goto(endpoint)
    browser.wait_for_selector("dialog[open]")
    assert browser.query_selector("#at-issuer") is None  # no issuer is configured
    enter_key(browser, "a wrong key")
    browser.wait_for_selector("#refused:has-text('does not accept this key')")
    enter_key(browser)
    browser.wait_for_selector("#about:not(:empty)")
    assert "60 items · snapshot 1" in browser.text_content("#about")
    browser.keyboard.press("/")
    browser.keyboard.type("Nodule in the left lung.")
    searched(browser)
    expected = search_endpoint(endpoint, None, {"report": "Nodule in the left lung.", "k": 12}, SECRET)["hits"]
    cards = browser.query_selector_all("#hits > li")
    assert len(cards) == len(expected) == 12
    for card, hit in zip(cards, expected):
        assert f"distance {hit['distance']}" in card.text_content()
        assert hit["item_id"] in card.text_content()
        assert f"{100 * hit['precision']:.0f} % relevant" in card.text_content() or hit["precision"] < 0.1
    widths = browser.eval_on_selector_all(
        ".rate", "all => all.map(one => one.firstChild.offsetWidth / one.offsetWidth)"
    )
    assert widths == pytest.approx([hit["precision"] for hit in expected], abs=0.02)
    browser.wait_for_selector("#hits img[src^='blob:']")
    label = browser.get_attribute("#histogram svg", "aria-label")
    assert label.startswith("Items by distance: ")
    with_image = 60 - len([n for n in range(1, 61) if n % 7 == 0])
    assert sum(int(part.split()[0]) for part in label.split(": ")[1].split(", ")) == with_image
    assert "snapshot" in browser.text_content("#facts")
    assert {url.partition("/v1")[0].rstrip("/") for url in browser.asked if not url.startswith(("blob:", "data:"))} == {
        endpoint
    }
    assert not browser.errors


def test_an_image_finds_reports_filtered_and_by_study(browser, endpoint, tmp_path):
    browser.goto(endpoint)
    enter_key(browser)
    browser.wait_for_selector("#filters select")
    browser.set_input_files("#image", str(tmp_path / "picture.png"))
    browser.wait_for_selector("#preview:not([hidden])")
    browser.get_by_label("modality").select_option(label="CT")
    searched(browser)
    cards = browser.query_selector_all("#hits > li")
    assert cards
    assert all("modality CT" in card.text_content() for card in cards)
    browser.check("input[name=target][value=study]", force=True)
    searched(browser)
    browser.wait_for_selector("#facts:has-text('studies')")
    browser.fill("#radius", "0")
    browser.get_by_label("modality").select_option(label="any")
    browser.click("#clear")
    assert not browser.is_visible("#preview")
    searched(browser)
    assert "Drop an image" in browser.text_content("#status")


def test_the_api_page_describes_every_route(browser, endpoint):
    browser.goto(endpoint)
    enter_key(browser)
    browser.wait_for_selector("#about:not(:empty)")
    browser.goto(f"{endpoint}/docs")
    browser.wait_for_selector("pre")
    for route in ("POST /v1/search", "GET /v1/items/{item_id}", "max_distance"):
        assert route in browser.text_content("#paths")
    assert {url.partition("/v1")[0].rstrip("/") for url in browser.asked if not url.startswith(("blob:", "data:"))} <= {
        endpoint,
        f"{endpoint}/docs",
        f"{endpoint}/openapi.json",
    }
    assert not browser.errors


def test_a_refused_query_is_told_in_one_sentence(browser, endpoint, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    browser.goto(endpoint)
    enter_key(browser)
    browser.wait_for_selector("#filters select")
    browser.set_input_files("#image", str(tmp_path / "broken.png"))
    searched(browser)
    assert "cannot be read" in browser.text_content("#status.bad")


def test_the_page_stands_alone():
    for html, headers in (page_file(), page_file("docs")):
        for outside in (b"http://", b"https://cdn", b'src="', b"@import", b"url("):
            assert outside not in html.replace(b"http://www.w3.org/2000/svg", b"")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert b"innerHTML" not in html  # what an archive says is text, never markup


def test_the_client_brings_its_key(endpoint):
    answer = search_endpoint(endpoint, None, {"code": "0305", "modality": "report"}, SECRET)
    assert get(endpoint + answer["hits"][0]["image"], SECRET)[:3] == b"\xff\xd8\xff"
    with pytest.raises(InputError, match="401"):
        search_endpoint(endpoint, None, {"code": "0305", "modality": "report"})


def test_every_address_works_on_a_real_server(endpoint):
    for item_id in ("a/b", "a/b/image", "ü ?#%2F", "../up"):
        address = f"{endpoint}/v1/items/{quote(item_id, safe='')}"
        assert f'"item_id":"{item_id}"'.encode() in get(address, SECRET)
        assert get(f"{address}/image", SECRET)[:3] == b"\xff\xd8\xff"


def reports_for(browser, endpoint, hits: int, report="Nodule in the left lung."):
    browser.goto(endpoint)
    enter_key(browser)
    browser.wait_for_selector("#about:not(:empty)")
    browser.fill("#k", str(hits))
    browser.fill("#report", report)
    searched(browser)


LOADED = "#hits img[src^='blob:']"


def becomes(browser, selector: str, count: int) -> bool:
    """Whether so many elements match within a minute. The page's policy forbids Playwright's own way to wait."""
    for _ in range(600):
        if len(browser.query_selector_all(selector)) == count:
            return True
        browser.wait_for_timeout(100)
    return False


def scrolled_through(browser):
    for _ in range(40):
        browser.mouse.wheel(0, 400)
        browser.wait_for_timeout(20)


@pytest.mark.parametrize("endpoint", [3, 8], indirect=True)
def test_thumbnails_refused_by_the_key_s_rate_come_later(browser, endpoint):
    answers = []
    browser.on("response", lambda answer: answers.append(answer.status))
    reports_for(browser, endpoint, 40)
    scrolled_through(browser)
    assert becomes(browser, LOADED, 40)
    assert 429 in answers
    assert not browser.query_selector_all("#hits .blank")


@pytest.mark.parametrize(
    ("status", "headers", "shown"),
    [
        (503, {"Retry-After": "1"}, None),
        (429, {"Retry-After": "2"}, None),
        (500, {}, "image not loaded"),
        (503, {}, "image not loaded"),
        (404, {}, "no image"),
    ],
)
def test_only_a_picture_that_does_not_exist_is_called_so(browser, endpoint, status, headers, shown):
    refused = []

    def refuse_once(route):
        if route.request.url in refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=status, headers=headers, body="{}")

    browser.route("**/image", refuse_once)
    reports_for(browser, endpoint, 3)
    scrolled_through(browser)
    if shown:
        assert becomes(browser, "#hits .blank", 3)
        assert {shown} == {
            blank.text_content().removesuffix("try again") for blank in browser.query_selector_all(".blank")
        }
    if status != 404:
        for button in browser.query_selector_all(".again"):
            button.click()
        assert becomes(browser, LOADED, 3)


def test_a_query_refused_by_the_key_s_rate_is_answered_later(browser, endpoint):
    reports_for(browser, endpoint, 3)
    refusals = [{"Retry-After": "1"}, {"Retry-After": "1"}]

    def refuse(route):
        if refusals:
            route.fulfill(status=429, headers=refusals.pop(), body="{}")
        else:
            route.continue_()

    browser.route("**/v1/search", refuse)
    browser.fill("#k", "5")
    searched(browser)
    assert len(browser.query_selector_all("#hits > li")) == 5
    assert browser.query_selector("#status.bad") is None


@pytest.mark.parametrize(
    "secret",
    ["mcmfh_" + "x" * 43, SECRET[:-1], f"{SECRET} {SECRET}", "ключ"],
    ids=["unknown", "cut", "twice", "Cyrillic"],
)
def test_a_wrong_key_is_told_and_forgotten(browser, endpoint, secret):
    browser.goto(endpoint)
    browser.wait_for_selector("dialog[open]")
    assert browser.text_content("#refused") == ""
    enter_key(browser, secret)
    browser.wait_for_selector("#refused:has-text('does not accept this key')")
    assert browser.evaluate("sessionStorage.length") == 0
    assert not browser.is_visible("#sign-out")


@pytest.mark.parametrize("afterwards", ["nothing", "a reload", "another search"])
def test_signing_out_forgets_key_query_and_answer(browser, endpoint, afterwards):
    reports_for(browser, endpoint, 3)
    assert browser.evaluate("sessionStorage.length") == 1
    browser.click("#sign-out")
    browser.wait_for_selector("dialog[open]")
    if afterwards == "a reload":
        browser.reload()
        browser.wait_for_selector("dialog[open]")
    assert browser.evaluate("sessionStorage.length") == 0
    assert browser.query_selector("#hits > li") is None
    assert browser.input_value("#report") == ""
    if afterwards == "another search":
        enter_key(browser)
        browser.wait_for_selector("#about:not(:empty)")
        browser.fill("#report", "Cardiomegaly.")
        searched(browser)
        assert browser.query_selector("#hits > li")


@pytest.mark.parametrize("width", [320, 360, 414, 768])
def test_nothing_is_wider_than_the_screen(browser, endpoint, width):
    def overflow() -> int:
        return browser.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth")

    browser.set_viewport_size({"width": width, "height": 740})
    browser.goto(endpoint)
    browser.wait_for_selector("dialog[open]")
    assert overflow() == 0
    reports_for(browser, endpoint, 40, report="Nodule " * 400) if width == 360 else reports_for(browser, endpoint, 40)
    scrolled_through(browser)
    assert overflow() == 0
