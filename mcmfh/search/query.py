"""A query: what is looked for, and how."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcmfh.archive.modality import Modality
from mcmfh.errors import InputError


class Query(BaseModel):
    """What is looked for: an image, a report, both, or a code that /v1/hash gave."""

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

    def modalities(self) -> tuple[str, ...]:
        """The query's own modalities. Raises InputError when there is nothing to look for, or too much."""
        given = [name for name in ("image", "report") if getattr(self, name)]
        if self.code and (given or self.modality is None):
            raise InputError("a code needs modality 'image' or 'report', and neither an image nor a report beside it")
        if not given and not self.code:
            raise InputError("the query is empty; send an image, a report or a code")
        if self.code and self.rerank:
            raise InputError("a code has no logits to re-rank by; send the image or report itself")
        return tuple(given) if given else (str(self.modality),)

    def wanted(self) -> Literal["report", "image", "study"]:
        """The target: the other modality where none is named, studies for a query of both."""
        if self.target == "study" and self.rerank:
            raise InputError("studies are not re-ranked; ask for reports or images")
        if self.target:
            return self.target
        modalities = self.modalities()
        return "study" if len(modalities) > 1 else "report" if modalities == ("image",) else "image"


def validated(values: Any) -> Query:
    """The query of decoded fields. Raises InputError naming the first bad one."""
    try:
        return Query.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "request"
        raise InputError(f"{where}: {fault['msg']}") from error
