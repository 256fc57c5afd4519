"""A query: what is searched for, and how."""

import math
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mcmfh.archive.modality import MODALITIES, Modality
from mcmfh.archive.reports import read_query_text
from mcmfh.errors import InputError
from mcmfh.store.layout import ARCHIVE_NAME

FOCUS = "focus"
MOST_HITS = 1000
# Bounds of `where`. A list of a thousand items is a selection; what is larger belongs into a column of the manifest.
MOST_CONDITIONS = 32
MOST_VALUES = 1000
LONGEST_VALUE = 1000  # characters


class Query(BaseModel):
    """An image, a report, both, or a code that /v1/hash returned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    report: str | None = Field(None, max_length=100_000, description="text of a report")
    code: str | None = Field(None, max_length=128, pattern="^([0-9a-fA-F]{2})+$", description="hex, from /v1/hash")
    modality: Modality | None = Field(None, description="what `code` is the code of")
    k: int = Field(10, ge=1, le=MOST_HITS)
    target: Literal["report", "image", "study"] | None = Field(None, description="default: the other modality")
    max_distance: int | None = Field(None, ge=0, le=1024)
    where: dict[str, Any] = Field(default_factory=dict, description="filters; see the README")
    bits: int | None = Field(None, ge=8, le=512, description="code length; default: the shortest")
    rerank: int | None = Field(None, ge=8, le=512, description="re-rank by logits against codes of this length")
    focus: str | None = Field(
        None, min_length=1, max_length=200, description="what to look for most: re-rank by this phrase too, e.g. heart"
    )
    archive: str | None = Field(None, pattern=ARCHIVE_NAME, description="which one, where the endpoint serves several")
    histogram: bool = Field(False, description="count the items that pass the filters by their distance")
    image: bytes | None = Field(None, exclude=True, description="file part of a multipart request")

    @field_validator("where")
    @classmethod
    def _check_where(cls, where: dict[str, Any]) -> dict[str, Any]:
        return checked_where(where)

    @model_validator(mode="after")
    def _check_content(self) -> "Query":
        content = bool(self.image or self.report)
        if self.code and (content or self.modality is None):
            raise ValueError("a code needs modality 'image' or 'report', and neither an image nor a report beside it")
        if not content and not self.code:
            raise ValueError("the query is empty; send an image, a report or a code")
        if self.code and (self.rerank or self.focus):
            raise ValueError("a code has no logits to re-rank by; send the image or report itself")
        if self.wanted == "study" and (self.rerank or self.focus):
            raise ValueError("studies are not re-ranked; ask for reports or images")
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of the query's content: image, report, or both in this order."""
        if self.code:
            return (str(self.modality),)
        return tuple(name for name in MODALITIES if getattr(self, name))

    @property
    def contents(self) -> dict[str, tuple[Modality, str | bytes]]:
        """What there is to encode by name, "image", "report" or "focus": (as what it is encoded, the content)."""
        every: dict[str, tuple[Modality, str | bytes | None]] = {
            "image": ("image", self.image),
            "report": ("report", self.report),
            FOCUS: ("report", self.focus),
        }
        return {name: (modality, content) for name, (modality, content) in every.items() if content}

    @property
    def wanted(self) -> Literal["report", "image", "study"]:
        """The target; where none is named the other modality, and study for a query of both."""
        if self.target:
            return self.target
        return "study" if len(self.modalities) > 1 else "report" if self.modalities == ("image",) else "image"


def validated(values: Any) -> Query:
    """The query with these fields, its report read as the report of an item is.

    Raises InputError with the first fault, which names the field, and DecodeError for a report without content.
    """
    _refuse_unknown(values)
    try:
        query = Query.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        if fault["type"] == "value_error":  # a sentence of `Query`'s own
            raise InputError(str(fault["ctx"]["error"])) from error
        field = ".".join(str(part) for part in fault["loc"]) or "request"
        raise InputError(f"{field}: {fault['msg']}") from error
    texts = {name: read_query_text(text) for name in ("report", FOCUS) if (text := getattr(query, name))}
    return query.model_copy(update=texts) if texts else query


def checked_where(where: dict[str, Any]) -> dict[str, Any]:
    """`where`. Raises ValueError where it makes too much work, by the number or length of its values."""
    values = [value for condition in where.values() for value in _values(condition)]
    if len(where) > MOST_CONDITIONS:
        raise ValueError(f"where names {len(where)} columns; name at most {MOST_CONDITIONS}")
    if len(values) > MOST_VALUES:
        raise ValueError(f"where holds {len(values)} values; give at most {MOST_VALUES}")
    if any(isinstance(text, str) and len(text) > LONGEST_VALUE for text in [*where, *values]):
        raise ValueError(f"where holds a text of more than {LONGEST_VALUE} characters; shorten it")
    if not all(map(_is_plain, [*where, *values])):
        raise ValueError("where holds NaN, an infinite number or half a character; leave it out")
    return where


def _values(condition: Any) -> Iterator[Any]:
    """Every value and every key in a condition, at whatever depth."""
    waiting = [condition]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        else:
            yield value


def _is_plain(value: Any) -> bool:
    """Whether JSON and UTF-8 can say a value of `where`, so that a receipt can hold it."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, float) or math.isfinite(value)


def _refuse_unknown(values: Any) -> None:
    """Raise InputError for the first unknown field. Pydantic would list all of them, however many there are."""
    if isinstance(values, dict):
        unknown = next((name for name in values if name not in Query.model_fields), None)
        if unknown is not None:
            raise InputError(f"{str(unknown)[:100]}: no such field; send one of {', '.join(Query.model_fields)}")
