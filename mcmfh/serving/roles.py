"""Who asks, and what they may do: each address of the endpoint needs a role, or any.

search   /v1/search and /v1/hash; hits without reports and pictures
read     /v1/items/…; with it hits have reports and pictures
admin    /metrics

A caller sees the items alone that meet its scope, wherever items are shown or counted, and only of its archives.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from mcmfh.config import GrantConfig, Role
from mcmfh.search.view import EVERYTHING, View

CALLER = "mcmfh.caller"  # of a request's scope
ROLES: frozenset[str] = frozenset(get_args(Role))
_OF_ADDRESS = {"/v1/search": "search", "/v1/hash": "search", "/metrics": "admin"}
_OF_ALL = {"/", "/docs", "/openapi.json", "/v1/version"}
_ITEMS = "/v1/items/"


@dataclass(frozen=True)
class Caller:
    """name: of the key or subject, None where no keys are configured; archives: those it may ask, None for all."""

    name: str | None
    roles: frozenset[str]
    view: View
    archives: frozenset[str] | None = None

    def may(self, path: str) -> bool:
        """Whether this caller may ask for an address. Raises KeyError for an address that is not listed here."""
        return path in _OF_ALL or ("read" if path.startswith(_ITEMS) else _OF_ADDRESS[path]) in self.roles

    def among(self, archives: Iterable[str]) -> list[str]:
        """Those of `archives` that this caller may ask, in their order."""
        return [name for name in archives if self.archives is None or name in self.archives]


def granted(name: str, grant: GrantConfig) -> Caller:
    """The caller of that name with what `grant` allows."""
    roles = frozenset(grant.roles)
    archives = None if grant.archives is None else frozenset(grant.archives)
    return Caller(name, roles, View(grant.where, "read" in roles), archives)


ANYBODY = Caller(None, ROLES, EVERYTHING)
