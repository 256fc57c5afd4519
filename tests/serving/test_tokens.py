"""Tokens of an issuer open what the configuration grants to its groups; forged, foreign and old ones open nothing."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from pydantic import ValidationError
from support.serving_config import served

from mcmfh.config import Config, OidcConfig
from mcmfh.serving.application import application
from mcmfh.serving.replica import Replica
from mcmfh.serving.tokens import LEEWAY_S, PAUSE_S, STALE_S, NotAccepted, Tokens

ISSUER = "https://login.example"
SETTINGS = {
    "issuer": ISSUER,
    "audience": "mcmfh",
    "groups": [
        {"group": "radiology", "roles": ["search", "read"]},
        {"group": "research", "roles": ["search"], "where": {"modality": "CT"}},
    ],
}


class Issuer:
    """An issuer in this process: its documents, and the tokens that it signs."""

    def __init__(self, keys: dict):
        self.keys = dict(keys)
        self.asked, self.away = 0, False
        self.others: list[dict] = []
        self.key_names = True

    def fetch(self, address: str) -> bytes:
        self.asked += 1
        if self.away:
            raise TimeoutError
        if address.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}).encode()
        kinds = {"one": jwt.algorithms.RSAAlgorithm, "two": jwt.algorithms.ECAlgorithm}
        published = [
            {**json.loads(kinds[name].to_jwk(key.public_key())), **self.named(name), "use": "sig"}
            for name, key in self.keys.items()
        ]
        others = [{"kty": "oct", "k": "AAAA", "kid": "shared"}, *self.others]
        return json.dumps({"keys": [*published, *others]}).encode()

    def named(self, key: str) -> dict[str, str]:
        return {"kid": key} if self.key_names else {}

    def token(self, key: str = "one", sign=None, algorithm: str | None = None, **changes) -> str:
        claims = {"iss": ISSUER, "aud": "mcmfh", "sub": "anna", "exp": time.time() + 60, "groups": ["radiology"]}
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        signing = sign or self.keys[key]
        return jwt.encode(claims, signing, algorithm or {"one": "RS256", "two": "ES256"}[key], self.named(key))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def keys():
    return {"one": rsa.generate_private_key(65537, 2048), "two": ec.generate_private_key(ec.SECP256R1())}


@pytest.fixture
def issuer(keys):
    return Issuer(keys)


def accepting(issuer: Issuer, clock: Clock | None = None, events: list | None = None) -> Tokens:
    report = (lambda event, fields: events.append(event)) if events is not None else (lambda event, fields: None)
    return Tokens(OidcConfig.model_validate(SETTINGS), report, clock or Clock(), issuer.fetch)


def identified(tokens: Tokens, token: str):
    return asyncio.run(tokens.identify(token))


def test_a_token_of_either_kind_of_key_names_subject_and_first_group(issuer):
    tokens = accepting(issuer)
    for key in ("one", "two"):
        assert identified(tokens, issuer.token(key))[0] == "anna"
    for groups, first in ((["radiology"], 0), (["research", "radiology"], 0), (["x", "research"], 1), ("research", 1)):
        subject, group = identified(tokens, issuer.token(groups=groups))
        assert (subject, group.group) == ("anna", SETTINGS["groups"][first]["group"])


@pytest.mark.parametrize("groups", [None, [], ["nobody"], "", {"radiology": 1}, [["radiology"]], 7])
def test_who_is_in_no_listed_group_is_known_and_may_do_nothing(issuer, groups):
    with pytest.raises(NotAccepted) as refusal:
        identified(accepting(issuer), issuer.token(groups=groups))
    assert refusal.value.known


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://login.example.evil.example"},
        {"iss": None},
        {"sub": None},
        {"exp": None},
        {"exp": 1.0},
        {"exp": "soon"},
        {"nbf": 10**10},
        {"exp": float("inf")},
        {"sub": ""},
        {"sub": 7},
        {"sub": "anna\n"},
        {"sub": "\ud800"},
        {"sub": "a" * 256},
    ],
    ids=str,
)
def test_a_token_with_other_claims_opens_nothing(issuer, changes):
    with pytest.raises(NotAccepted) as refusal:
        identified(accepting(issuer), issuer.token(**changes))
    assert not refusal.value.known


def part(value: dict) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def forged(issuer: Issuer) -> dict[str, str]:
    token = issuer.token()
    header, body, signature = token.split(".")
    public = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with_secret = part({"alg": "HS256", "kid": "one"}) + b"." + body.encode()
    mac = base64.urlsafe_b64encode(hmac.digest(public, with_secret, hashlib.sha256)).rstrip(b"=")
    return {
        "no signature": f"{header}.{body}.",
        "alg none": f"{part({'alg': 'none', 'kid': 'one'}).decode()}.{body}.",
        "the public key as a secret": (with_secret + b"." + mac).decode(),
        "another's key": issuer.token(sign=rsa.generate_private_key(65537, 2048)),
        "an unknown key": jwt.encode({"sub": "x"}, issuer.keys["one"], "RS256", {"kid": "three"}),
        "a shared key": jwt.encode({"sub": "x"}, b"\0" * 32, "HS256", {"kid": "shared"}),
        "another body": f"{header}.{part({'sub': 'eve', 'groups': ['radiology']}).decode()}.{signature}",
        "the other key's name": issuer.token("two", issuer.keys["one"], "RS256"),
        "no parts": "..",
        "noise": "a.b.c",
        "long": "a." + "b" * 10_000 + ".c",
        "half a character": "\ud800.b.c",
        "a demand of its own": jwt.encode({"sub": "x"}, issuer.keys["one"], "RS256", {"kid": "one", "crit": ["exp"]}),
        "a key of its own": jwt.encode({"sub": "x"}, issuer.keys["one"], "RS256", {"kid": "one", "jku": "x"}),
    }


def test_forged_tokens_open_nothing(issuer):
    tokens = accepting(issuer)
    identified(tokens, issuer.token())
    for name, token in forged(issuer).items():
        with pytest.raises(NotAccepted) as refusal:
            identified(tokens, token)
        assert not refusal.value.known, name


def test_a_new_key_is_fetched_and_a_withdrawn_one_is_given_up(issuer):
    clock = Clock()
    tokens = accepting(issuer, clock)
    token = issuer.token()
    identified(tokens, token)
    asked = issuer.asked
    for _ in range(5):  # guesses do not make the endpoint ask again and again
        with pytest.raises(NotAccepted):
            identified(tokens, jwt.encode({"sub": "x"}, issuer.keys["one"], "RS256", {"kid": "new"}))
    assert issuer.asked == asked
    issuer.keys = {"two": issuer.keys["two"]}
    clock.now += PAUSE_S
    tokens.refresh()
    with pytest.raises(NotAccepted, match="not signed with a key"):
        identified(tokens, token)


def test_clocks_may_differ_by_half_a_minute(issuer):
    tokens, now = accepting(issuer), time.time()
    for name, early in (("exp", 1), ("nbf", -1), ("iat", -1)):
        assert identified(tokens, issuer.token(**{name: now - early * (LEEWAY_S - 10)}))[0] == "anna"
        with pytest.raises(NotAccepted):
            identified(tokens, issuer.token(**{name: now - early * (LEEWAY_S + 10)}))


def test_a_remembered_token_is_accepted_until_it_expires(issuer):
    tokens = accepting(issuer)
    token = issuer.token(exp=int(time.time()) + 2 - LEEWAY_S)
    for _ in range(2):
        assert identified(tokens, token)[0] == "anna"
    time.sleep(2.1)
    with pytest.raises(NotAccepted):
        identified(tokens, token)


@pytest.mark.parametrize("key_names", [True, False])
def test_another_key_of_the_same_name_is_fetched_and_what_the_old_one_signed_opens_nothing(issuer, key_names):
    clock = Clock()
    issuer.keys, issuer.key_names = {"one": issuer.keys["one"]}, key_names
    tokens = accepting(issuer, clock)
    old = issuer.token()
    identified(tokens, old)
    issuer.keys = {"one": rsa.generate_private_key(65537, 2048)}
    clock.now += PAUSE_S
    assert identified(tokens, issuer.token())[0] == "anna"
    with pytest.raises(NotAccepted):
        identified(tokens, old)


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "EC", "crv": "P-000", "kid": "x"},
        {"kty": "RSA", "kid": "x", "n": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "x"},
        {"kty": "RSA", "alg": "none", "n": "AQAB", "e": "AQAB", "kid": "x"},
        {"kty": "RSA", "alg": 7, "kid": "x"},
        {"kid": "x"},
    ],
    ids=str,
)
def test_a_published_key_that_cannot_be_used_shuts_nobody_out(issuer, other):
    issuer.others = [other]
    assert identified(accepting(issuer), issuer.token())[0] == "anna"


def test_tokens_that_wait_for_a_new_key_hold_one_thread_and_ask_the_issuer_once(issuer):
    asked, threads = issuer.asked, set()

    def slow(address: str) -> bytes:
        threads.add(threading.get_ident())
        time.sleep(0.2)
        return issuer.fetch(address)

    tokens = Tokens(OidcConfig.model_validate(SETTINGS), clock=Clock(), fetch=slow)

    async def together():
        return await asyncio.gather(*(tokens.identify(issuer.token(sub=f"s{n}")) for n in range(20)))

    assert [subject for subject, _ in asyncio.run(together())] == [f"s{n}" for n in range(20)]
    assert (issuer.asked - asked, len(threads)) == (2, 1)


def test_an_issuer_that_is_away_keeps_nobody_in_for_long(issuer):
    clock, events = Clock(), []
    tokens = accepting(issuer, clock, events)
    token = issuer.token()
    identified(tokens, token)
    issuer.away = True
    clock.now += STALE_S / 2
    tokens.refresh()
    assert identified(tokens, token)[0] == "anna"
    clock.now += STALE_S
    with pytest.raises(NotAccepted):
        identified(tokens, token)
    assert set(events) == {"issuer_failed"}
    issuer.away = False
    clock.now += PAUSE_S
    assert identified(tokens, token)[0] == "anna"


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://login.example"},
        {"issuer": "ftp://x"},
        {"issuer": "http://localhost:80@login.example"},
        {"issuer": "http://127.0.0.1.login.example"},
        {"audience": None},
        {"groups": []},
    ],
    ids=str,
)
def test_an_issuer_without_tls_audience_or_groups_is_refused(changes):
    with pytest.raises(ValidationError):
        OidcConfig.model_validate({**SETTINGS, **changes})


def test_the_endpoint_asks_for_a_token_where_an_issuer_is_all_that_is_configured(archive):
    config = served(archive, oidc={**SETTINGS, "issuer": "http://127.0.0.1:9"})
    assert isinstance(config, Config)
    assert config.serve.guarded
    with TestClient(application(Replica(config))) as client:
        for header in (None, "Bearer a.b.c", "Bearer x", "Basic a.b.c", "Bearer", "a.b.c"):
            headers = {"Authorization": header} if header else {}
            assert client.get("/v1/version", headers=headers).status_code == 401
        assert client.get("/healthz").status_code == 200
