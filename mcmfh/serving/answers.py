"""The shapes of all answers, as the OpenAPI document describes them."""

from typing import Any

from pydantic import BaseModel, Field

from mcmfh.search.query import Query


class Item(BaseModel):
    """The public form of an item: an excerpt of its report, and never a URI of the archive."""

    item_id: str
    study_id: str
    labels: list[str] | None
    date: str | None
    where: dict[str, Any] = Field(description="its filter columns")
    report: str | None = Field(description="the beginning of the report; null where reports are not kept")
    image: str | None = Field(description="path of a thumbnail on this endpoint")


class Hit(Item):
    distance: int = Field(description="Hamming distance; for a query of image and report the sum of both")
    precision: float | None = Field(
        description="share of validation pairs at this distance for which `precision_of` was true"
    )
    score: float | None = Field(
        description="the score that hits were re-ranked by, greatest first; null without re-ranking"
    )


class Receipt(BaseModel):
    """What the answer was made of. `mcmfh replay` reproduces it from the same snapshot. It names no item."""

    format: int
    snapshot: int
    snapshot_digest: str
    bundle_digest: str
    code: dict[str, str] = Field(description="modality → the query's code in hex")
    k: int
    target: str
    bits: int
    max_distance: int | None
    where: dict[str, Any]
    rerank: int | None
    logits: dict[str, str] = Field(description="modality → float32 in hex, of the length re-ranked by; {} without")
    count: int = Field(description="of the hits")
    hits: str = Field(description="sha256 of the canonical JSON of [item_id, distance, score] of each hit, in order")
    digest: str = Field(description="sha256 of the canonical JSON of all other fields")


class Answer(BaseModel):
    """What each answer states of the archive that gave it."""

    archive: str | None = Field(None, description="where the endpoint serves several")


class SearchAnswer(Answer):
    """The hits, in the order of their distance."""

    snapshot: int
    target: str
    bits: int
    code: dict[str, str] = Field(description="modality → the query's code in hex")
    precision_of: str | None = Field(
        description="relevant (shares a label) or same study; null where nothing was measured"
    )
    hits: list[Hit]
    histogram: list[int] | None = Field(description="items at each distance, where asked for")
    receipt: Receipt


class HashAnswer(Answer):
    snapshot: int
    bits: int
    code: dict[str, str]


class ItemAnswer(Answer, Item):
    snapshot: int


class Facet(BaseModel):
    type: str
    values: list[Any] | None = None
    min: Any = None
    max: Any = None


class Version(Answer):
    snapshot: int
    snapshot_digest: str
    bundle_digest: str
    code_digest: str
    encoder: str
    device: str = Field(description="kind of device on which queries are encoded: cpu or cuda")
    device_of_codes: str = Field(description="kind of device on which the archive was embedded")
    bits: list[int]
    items: int
    filters: dict[str, Facet] = Field(description="what `where` may name, with the values that occur")
    archives: list[str] = Field(description="that the caller may ask")
    keys: str | None = Field(description="version of the access keys; null where none are configured")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str


def query_body() -> dict[str, Any]:
    """The OpenAPI request body of a query. FastAPI does not parse it: `read_query` bounds its size as it arrives."""
    fields = Query.model_json_schema()
    fields["properties"].pop("image")
    form = {
        **fields["properties"],
        "image": {"type": "string", "format": "binary", "description": "PNG, JPEG, TIFF, WebP or DICOM"},
        "where": {"type": "string", "description": "filters, as JSON"},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": fields},
                "multipart/form-data": {"schema": {**fields, "properties": form}},
            },
        }
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": REASONS[status], "content": content} for status in statuses}


REASONS = {
    400: "the query cannot be understood",
    401: "no access key, or an unknown one",
    403: "the key has not the role or the archive for this; or, without keys, another name or another site's page",
    404: "not in this snapshot; or no archive that this key may ask",
    413: "more than 512 KB of JSON or of form fields, or an image larger than serve.max_body_mb",
    422: "the image cannot be read",
    429: "too many requests with this key",
    503: "busy, or too slow; Retry-After says when to come again",
}
