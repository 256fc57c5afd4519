"""Sign-in on the page, in a real browser: at a real issuer (npm's oidc-provider), and against forged answers."""

import io
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from support.local_endpoint import listening
from support.serving_config import served

from mcmfh.config import OidcConfig
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.page import page as page_file
from mcmfh.serving.replica import Replica

SECRET, DIGEST = new_key()
GROUPS = [{"group": "radiology", "roles": ["search", "read"]}, {"group": "secret-project", "roles": ["search"]}]
CLIENT = {"client_id": "page", "scopes": ["openid", "search"], "resource": "https://mcmfh"}
KEPT = "sessionStorage.getItem('mcmfh-key')"
BEGUN = "JSON.parse(sessionStorage.getItem('mcmfh-sign-in'))"


def oidc(issuer: str, **changes) -> dict:
    return {"issuer": issuer, "audience": "mcmfh", "groups": GROUPS, **CLIENT, **changes}


@contextmanager
def signing_in(archive: str, browser, issuer, **changes) -> Iterator[SimpleNamespace]:
    """An endpoint whose people sign in at `issuer`. requested: the addresses that reached the endpoint."""
    log, requested = io.StringIO(), []
    config = served(archive, oidc=oidc(issuer.issuer, **changes), keys=[{"name": "ward", "sha256": DIGEST}])
    app = application(Replica(config, AccessLog(log)))

    async def recorded(scope, receive, send):
        if scope["type"] == "http":
            requested.append(f"{scope['path']}?{scope['query_string'].decode()}")
        await app(scope, receive, send)

    browser.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
    with listening(recorded) as url:
        yield SimpleNamespace(url=url, log=log, requested=requested)


@pytest.fixture
def endpoint(archive, browser, local_issuer, request):
    """An endpoint and its issuer, which both run."""
    with local_issuer.up(), signing_in(archive, browser, local_issuer, **getattr(request, "param", {})) as one:
        yield one


@pytest.fixture
def lonely(archive, browser, local_issuer):
    """An endpoint whose issuer does not run yet."""
    with signing_in(archive, browser, local_issuer) as one:
        yield one


def to_the_issuer(browser, endpoint) -> None:
    browser.goto(endpoint.url)
    browser.click("#at-issuer")


def as_person(browser, name: str) -> None:
    browser.fill("input[name=login]", name)
    browser.fill("input[name=password]", "any")
    browser.click("button[type=submit]")
    browser.click("button[type=submit]:has-text('Continue')")


def signed_in(browser, endpoint, name: str = "anna") -> None:
    to_the_issuer(browser, endpoint)
    as_person(browser, name)
    browser.wait_for_selector("#about:not(:empty)")


def searched(browser) -> int:
    """The hits of a search."""
    browser.fill("#report", "Nodule in the left lung.")
    browser.keyboard.press("Control+Enter")
    browser.wait_for_selector("#hits li, #status.bad")
    return len(browser.query_selector_all("#hits > li"))


def refusal(browser, text: str) -> str:
    """The line of the open dialog, which must come to hold `text`."""
    browser.wait_for_selector(f"dialog[open] #refused:has-text('{text}')")
    assert browser.is_enabled("#at-issuer")
    assert browser.evaluate("sessionStorage.length") == 0
    return browser.text_content("#refused")


def test_somebody_signs_in_searches_and_signs_out(browser, endpoint, local_issuer):
    exchanged = []
    browser.on("request", lambda one: exchanged.append(one.post_data) if one.url.endswith("/token") else None)
    addresses = []
    browser.on("framenavigated", lambda frame: addresses.append(frame.url))
    browser.goto(endpoint.url)
    assert browser.text_content("#at-issuer") == f"Sign in at {urlsplit(local_issuer.issuer).netloc}"
    browser.keyboard.press("Enter")  # the button has the focus
    as_person(browser, "anna")
    browser.wait_for_selector("#about:not(:empty)")
    token = browser.evaluate(KEPT)
    assert browser.evaluate("Object.keys(sessionStorage)") == ["mcmfh-key"]
    assert browser.evaluate("location.href") == f"{endpoint.url}/"
    assert searched(browser) == 12
    browser.wait_for_selector("#hits img[src^='blob:']")  # anna's group may read
    asked = dict(parse_qsl(urlsplit(next(at for at in browser.asked if "/auth?" in at)).query))
    assert asked["code_challenge_method"] == "S256"
    assert {len(asked[name]) for name in ("state", "nonce", "code_challenge")} == {43}
    browser.click("#sign-out")
    browser.wait_for_selector("dialog[open]")
    assert browser.text_content("#refused") == ""
    assert browser.evaluate("sessionStorage.length + localStorage.length + document.cookie.length") == 0
    assert browser.query_selector("#hits > li") is None
    (code,) = parse_qs(exchanged[0])["code"]
    assert len(exchanged) == 1
    assert any(code in address for address in addresses)  # it came back in the fragment
    for secret in (code, token, token.split(".")[2], asked["state"], asked["nonce"]):
        assert secret not in endpoint.log.getvalue() + "".join(endpoint.requested)
    assert '"key":"oidc:anna"' in endpoint.log.getvalue().replace(" ", "")
    assert not browser.errors


def test_an_issuer_that_answers_in_the_query_signs_in_as_well(browser, endpoint):
    browser.route(
        re.compile("response_mode=fragment"),
        lambda route: route.continue_(url=route.request.url.replace("response_mode=fragment", "response_mode=query")),
    )
    signed_in(browser, endpoint)
    assert browser.evaluate("location.href") == f"{endpoint.url}/"
    assert any("code=" in at for at in endpoint.requested)
    assert "code" not in endpoint.log.getvalue()
    assert searched(browser) == 12


def test_who_is_in_no_group_is_told_so_and_can_sign_out(browser, endpoint):
    to_the_issuer(browser, endpoint)
    as_person(browser, "guest")
    browser.wait_for_selector("#status.bad:has-text('you are in no group')")
    browser.click("#sign-out")
    browser.wait_for_selector("dialog[open]")
    assert browser.evaluate("sessionStorage.length") == 0


def test_a_key_opens_beside_the_issuer(browser, lonely):
    """Also while the issuer is away."""
    browser.goto(lonely.url)
    browser.fill("#key", SECRET)
    browser.keyboard.press("Enter")
    browser.wait_for_selector("#about:not(:empty)")
    assert searched(browser) == 12


def test_the_endpoint_s_own_refusal_of_a_token_is_one_line(browser, endpoint, local_issuer):
    browser.goto(endpoint.url)
    for resource, line in {
        "https://mcmfh/expired": "The token has expired; sign in again",
        "https://another": "The token is not accepted",
    }.items():
        token = local_issuer.token_of_person("anna", resource)
        browser.evaluate(f"sessionStorage.setItem('mcmfh-key', '{token}')")
        browser.reload()
        assert refusal(browser, line).count(".") == 0
    browser.click("#at-issuer")
    as_person(browser, "anna")
    browser.wait_for_selector("#about:not(:empty)")
    expired = local_issuer.token_of_person("anna", "https://mcmfh/expired")
    browser.evaluate(f"sessionStorage.setItem('mcmfh-key', '{expired}')")
    browser.fill("#report", "Nodule in the left lung.")
    browser.keyboard.press("Control+Enter")
    refusal(browser, "The token has expired; sign in again")


@pytest.mark.parametrize("endpoint", [{"resource": "https://another"}], indirect=True)
def test_a_token_for_another_audience_opens_nothing(browser, endpoint):
    to_the_issuer(browser, endpoint)
    as_person(browser, "anna")
    refusal(browser, "The token is not accepted (InvalidAudienceError)")


@pytest.mark.parametrize("endpoint", [{"resource": None, "scopes": ["openid"]}], indirect=True)
def test_a_token_that_is_no_jwt_is_not_kept(browser, endpoint):
    to_the_issuer(browser, endpoint)
    as_person(browser, "anna")
    refusal(browser, "gave a token that is no JWT")


FORGED = [
    {"code": "c"},
    {"code": "c", "state": "s"},
    {"code": "c", "state": ""},
    {"code": "c", "state": "undefined"},
    {"error": "call_us", "error_description": "at 0900 666", "state": "s"},
]


@pytest.mark.parametrize("separator", ["#", "?"])
@pytest.mark.parametrize("begun", [False, True])
def test_an_answer_to_a_sign_in_that_this_tab_did_not_begin_is_dropped(browser, endpoint, begun, separator):
    for answer in FORGED:
        if begun:
            to_the_issuer(browser, endpoint)
            browser.wait_for_selector("input[name=login]")
        browser.goto("about:blank")
        browser.goto(f"{endpoint.url}/{separator}{urlencode(answer)}")
        assert "666" not in refusal(browser, "This tab began no such sign-in. Sign in again."), answer
        assert browser.evaluate("location.href") == f"{endpoint.url}/"
    assert not [at for at in browser.asked if at.endswith("/token")]


def test_a_forged_answer_does_not_end_the_stay_of_who_has_a_key(browser, endpoint):
    browser.goto(endpoint.url)
    browser.fill("#key", SECRET)
    browser.keyboard.press("Enter")
    browser.wait_for_selector("#about:not(:empty)")
    browser.goto("about:blank")
    browser.goto(f"{endpoint.url}/#code=c&state=s")
    browser.wait_for_selector("#status.bad:has-text('This tab began no such sign-in')")
    assert browser.evaluate(KEPT) == SECRET
    assert searched(browser) == 12


def begun(browser, endpoint) -> dict:
    """What the tab keeps of a sign-in that it has begun, while its page stays."""
    browser.route(re.compile("/auth\\?"), lambda route: route.fulfill(status=204))
    to_the_issuer(browser, endpoint)
    for _ in range(600):
        if (kept := browser.evaluate("sessionStorage.getItem('mcmfh-sign-in')")) is not None:
            return json.loads(kept)
        time.sleep(0.05)
    raise AssertionError("no sign-in has begun")


@pytest.mark.parametrize(
    "description",
    ["<img src=x onerror=document.title=1>", "<script>document.title=1</script>", "&lt;b&gt;\u202e", "x" * 5000],
    ids=["img", "script", "entities", "long"],
)
def test_an_error_of_the_issuer_is_shown_as_text(browser, endpoint, description):
    state = begun(browser, endpoint)["state"]
    answer = urlencode({"error": "access_denied", "error_description": description, "state": state})
    browser.goto("about:blank")
    browser.goto(f"{endpoint.url}/#{answer}")
    line = refusal(browser, "refused the sign-in")
    assert f"access_denied, {description}"[:300] in line
    assert len(line) < 400
    assert browser.query_selector("#refused *") is None
    assert browser.title() == "mcmfh · search"
    assert not browser.errors


def test_who_turns_back_at_the_issuer_is_told_so(browser, endpoint):
    to_the_issuer(browser, endpoint)
    browser.click("a:has-text('Cancel')")
    refusal(browser, "refused the sign-in: access_denied")


def test_another_issuer_s_answer_is_dropped(browser, endpoint):
    state = begun(browser, endpoint)["state"]
    browser.goto("about:blank")
    browser.goto(f"{endpoint.url}/#{urlencode({'code': 'c', 'state': state, 'iss': 'https://evil.example'})}")
    refusal(browser, "This tab began no such sign-in")
    assert not [at for at in browser.asked if at.endswith("/token")]


def test_a_code_is_used_once(browser, endpoint):
    exchanged, kept = [], []

    def note(route):
        exchanged.append(dict(parse_qsl(route.request.post_data)))
        route.continue_()

    browser.route(re.compile("/token$"), note)
    browser.route(
        re.compile("/auth\\?"),
        lambda route: (kept.append(dict(parse_qsl(urlsplit(route.request.url).query))), route.continue_()),
    )
    signed_in(browser, endpoint)
    browser.click("#sign-out")
    browser.wait_for_selector("dialog[open]")
    answer = urlencode({"code": exchanged[0]["code"], "state": kept[0]["state"]})
    browser.goto("about:blank")
    browser.goto(f"{endpoint.url}/#{answer}")  # out of the history, say
    refusal(browser, "This tab began no such sign-in")
    secrets = {"state": kept[0]["state"], "nonce": kept[0]["nonce"], "verifier": exchanged[0]["code_verifier"]}
    browser.evaluate(f"sessionStorage.setItem('mcmfh-sign-in', JSON.stringify({json.dumps(secrets)}))")
    browser.goto("about:blank")
    browser.goto(f"{endpoint.url}/#{answer}")
    refusal(browser, "refused the sign-in: invalid_grant")
    assert len(exchanged) == 2


@pytest.mark.parametrize("change", ["nonce", "challenge", "verifier"])
def test_a_code_of_another_sign_in_signs_nobody_in(browser, endpoint, change):
    """As where somebody puts the code of his own sign-in into another's browser, its state included."""

    def changed(route, names):
        data = route.request.post_data or urlsplit(route.request.url).query
        fields = dict(parse_qsl(data)) | dict.fromkeys(names, "A" * 43)
        if route.request.post_data:
            route.continue_(post_data=urlencode(fields))
        else:
            route.continue_(url=f"{route.request.url.partition('?')[0]}?{urlencode(fields)}")

    if change == "verifier":
        browser.route(re.compile("/token$"), lambda route: changed(route, ["code_verifier"]))
    else:
        field = {"nonce": "nonce", "challenge": "code_challenge"}[change]
        browser.route(re.compile("/auth\\?"), lambda route: changed(route, [field]))
    to_the_issuer(browser, endpoint)
    as_person(browser, "anna")
    refusal(browser, "answered another sign-in" if change == "nonce" else "refused the sign-in: invalid_grant")


def test_an_issuer_that_is_away_is_one_line(browser, lonely, local_issuer):
    to_the_issuer(browser, lonely)
    line = refusal(browser, "cannot be reached from this page. Try again later, or enter a key.")
    assert line.startswith(urlsplit(local_issuer.issuer).netloc)
    with local_issuer.up():
        browser.click("#at-issuer")
        browser.wait_for_selector("input[name=login]")
        browser.route(re.compile("/token$"), lambda route: route.abort())
        as_person(browser, "anna")
        refusal(browser, "cannot be reached from this page")
    assert not browser.errors


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("<html>", "gave no answer that can be read"),
        ("{}", "calls itself otherwise"),
        ({"authorization_endpoint": "javascript:alert(1)//"}, "Enter a key"),
        ({"token_endpoint": "https://evil.example/token"}, "Enter a key"),
        ({"authorization_endpoint": None}, "gave no answer that can be read"),
    ],
    ids=["HTML", "empty", "script", "elsewhere", "no address"],
)
def test_an_issuer_that_describes_itself_badly_is_one_line(browser, lonely, local_issuer, document, line):
    own = {"authorization_endpoint": f"{local_issuer.issuer}/auth", "token_endpoint": f"{local_issuer.issuer}/token"}
    text = document if isinstance(document, str) else json.dumps({"issuer": local_issuer.issuer, **own, **document})
    headers = {"Access-Control-Allow-Origin": "*"}
    browser.route(re.compile("/openid-configuration$"), lambda route: route.fulfill(body=text, headers=headers))
    to_the_issuer(browser, lonely)
    refusal(browser, line)
    assert browser.evaluate("location.href") == f"{lonely.url}/"
    assert not browser.errors


def test_where_a_browser_cannot_sign_in_the_page_says_so(browser, lonely):
    """A page by http has no crypto.subtle, except from loopback, where this is tried."""
    browser.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined })")
    to_the_issuer(browser, lonely)
    refusal(browser, "Open this page by https")


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_the_dialog_fits_the_screen(browser, lonely, width):
    browser.set_viewport_size({"width": width, "height": 740})
    to_the_issuer(browser, lonely)
    refusal(browser, "cannot be reached")
    dialog, button = (browser.locator(at).bounding_box() for at in ("dialog", "#at-issuer"))
    assert dialog["x"] >= 0
    assert dialog["x"] + dialog["width"] <= width
    assert dialog["x"] < button["x"]
    assert button["x"] + button["width"] < dialog["x"] + dialog["width"]
    assert browser.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth") == 0


def test_a_page_without_a_client_offers_no_sign_in_and_one_with_it_tells_little():
    plain, headers = page_file()
    without = OidcConfig.model_validate(oidc("https://login.example/realm", client_id=None))
    assert page_file(oidc=without) == (plain, headers)
    assert plain.count(b"<script") == 1
    settings = OidcConfig.model_validate(oidc("https://login.example:8443/realm", client_id='a"><script>&amp;'))
    html, more = page_file(oidc=settings)
    assert b'data-client="a&quot;&gt;&lt;script&gt;&amp;amp;"' in html
    assert html.count(b"<script") == 2
    for hidden in (b"secret-project", b"radiology", b"groups"):
        assert hidden not in html
    before, after = (
        dict(part.split(" ", 1) for part in one["Content-Security-Policy"].split("; ")) for one in (headers, more)
    )
    assert after.pop("connect-src") == f"{before.pop('connect-src')} https://login.example:8443"
    assert before.pop("script-src") in after.pop("script-src")
    assert before == after


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://login.example; script-src *"},
        {"issuer": "https://login.example;x/"},
        {"issuer": "https://login.example/a b"},
        {"issuer": "https://*"},
        {"client_id": "a\r\nb"},
        {"client_id": ""},
        {"scopes": ["search"]},
        {"scopes": []},
        {"scopes": ["openid", "two words"]},
        {"resource": "no address"},
        {"resource": "https://mcmfh#part"},
        {"issuer": None, "audience": None, "groups": []},
    ],
    ids=str,
)
def test_settings_that_nobody_could_sign_in_with_are_refused(changes):
    OidcConfig.model_validate(oidc("https://[::1]:8443/realms/x;y"))
    with pytest.raises(ValueError, match=r"issuer|client_id|scopes|resource"):
        OidcConfig.model_validate({**oidc("https://login.example"), **changes})
