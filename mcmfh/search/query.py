"""A query: what is searched for, and how."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mcmfh.archive.modality import Modality
from mcmfh.archive.reports import read_query_text
from mcmfh.errors import InputError


class Query(BaseModel):
    """An image, a report, both, or a code that /v1/hash returned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    report: str | None = Field(None, max_length=100_000, description="text of a report")
    code: str | None = Field(None, max_length=128, pattern="^([0-9a-fA-F]{2})+$", description="hex, from /v1/hash")
    modality: Modality | None = Field(None, description="what `code` is the code of")
    k: int = Field(10, ge=1, le=1000)
    target: Literal["report", "image", "study"] | None = Field(None, description="default: the other modality")
    max_distance: int | None = Field(None, ge=0, le=1024)
    where: dict[str, Any] = Field(default_factory=dict, description="filters; see the README")
    bits: int | None = Field(None, ge=8, le=512, description="code length; default: the shortest")
    rerank: int | None = Field(None, ge=8, le=512, description="re-rank by logits against codes of this length")
    histogram: bool = Field(False, description="count the items that pass the filters by their distance")
    image: bytes | None = Field(None, exclude=True, description="file part of a multipart request")

    @model_validator(mode="after")
    def _check_content(self) -> "Query":
        content = bool(self.image or self.report)
        if self.code and (content or self.modality is None):
            raise ValueError("a code needs modality 'image' or 'report', and neither an image nor a report beside it")
        if not content and not self.code:
            raise ValueError("the query is empty; send an image, a report or a code")
        if self.code and self.rerank:
            raise ValueError("a code has no logits to re-rank by; send the image or report itself")
        if self.target == "study" and self.rerank:
            raise ValueError("studies are not re-ranked; ask for reports or images")
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of the query's content: image, report, or both in this order."""
        if self.code:
            return (str(self.modality),)
        return tuple(name for name in ("image", "report") if getattr(self, name))

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
    try:
        query = Query.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        if fault["type"] == "value_error":  # a sentence of `Query`'s own
            raise InputError(str(fault["ctx"]["error"])) from error
        field = ".".join(str(part) for part in fault["loc"]) or "request"
        raise InputError(f"{field}: {fault['msg']}") from error
    return query.model_copy(update={"report": read_query_text(query.report)}) if query.report else query
