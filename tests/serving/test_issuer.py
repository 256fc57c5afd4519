"""An endpoint and a real issuer (npm's oidc-provider): clients and people with its tokens do what their groups may."""

import asyncio

import pytest
from fastapi.testclient import TestClient
from support.serving_config import served

from mcmfh.config import OidcConfig
from mcmfh.serving.application import application
from mcmfh.serving.replica import Replica
from mcmfh.serving.tokens import PAUSE_S, STALE_S, NotAccepted, Tokens

GROUPS = [{"group": "radiology", "roles": ["search", "read"]}, {"group": "research", "roles": ["search"]}]


def settings(issuer) -> dict:
    return {"issuer": issuer.issuer, "audience": "mcmfh", "groups": GROUPS}


@pytest.fixture
def endpoint(archive, local_issuer):
    config = served(archive, oidc=settings(local_issuer))
    with local_issuer.up(), TestClient(application(Replica(config))) as client:
        yield client


def statuses(endpoint, token: str) -> tuple[int, int, int]:
    """Of a search, an item and the metrics."""
    headers = {"Authorization": f"Bearer {token}"}
    search = endpoint.post("/v1/search", json={"code": "0000", "modality": "image"}, headers=headers)
    return (search.status_code, *(endpoint.get(at, headers=headers).status_code for at in ("/v1/items/i8", "/metrics")))


def test_clients_and_people_do_what_their_groups_may(endpoint, local_issuer):
    for name, expected in {
        "worklist": (200, 200, 403),
        "anna": (200, 200, 403),
        "student": (200, 403, 403),
        "guest": (403, 403, 403),
    }.items():
        assert statuses(endpoint, local_issuer.token_of_client(name)) == expected, name
        assert statuses(endpoint, local_issuer.token_of_client(name, "https://mcmfh/ec")) == expected, name
        assert statuses(endpoint, local_issuer.token_of_person(name)) == expected, name


def test_tokens_for_others_and_damaged_ones_open_nothing(endpoint, local_issuer):
    token = local_issuer.token_of_person("anna")
    header, body, signature = token.split(".")
    for other in (
        local_issuer.token_of_person("anna", "https://another"),
        local_issuer.token_of_client("worklist", "https://another"),
        f"{header}.{body}.",
        f"{header}.{body}.{signature[::-1]}",
        f"{header}.{local_issuer.token_of_person('student').split('.')[1]}.{signature}",
    ):
        assert statuses(endpoint, other) == (401, 401, 401)
    assert statuses(endpoint, token) == (200, 200, 403)


def test_new_keys_are_taken_and_an_issuer_that_is_away_lets_nobody_in_for_long(local_issuer):
    now = [1000.0]
    tokens = Tokens(OidcConfig.model_validate(settings(local_issuer)), clock=lambda: now[0])
    with local_issuer.up():
        first, unseen = local_issuer.token_of_person("anna"), local_issuer.token_of_client("worklist")
        assert asyncio.run(tokens.identify(first))[0] == "anna"
    now[0] += STALE_S / 2
    assert asyncio.run(tokens.identify(unseen))[0] == "worklist"  # signed with a key that is known
    now[0] += STALE_S
    with pytest.raises(NotAccepted):
        asyncio.run(tokens.identify(first))
    with local_issuer.up():
        now[0] += PAUSE_S
        second = local_issuer.token_of_person("anna")
        assert asyncio.run(tokens.identify(second))[0] == "anna"
        with pytest.raises(NotAccepted):
            asyncio.run(tokens.identify(first))
