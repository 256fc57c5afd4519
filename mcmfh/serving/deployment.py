"""The Ray Serve application: one deployment holds ingress, encoder and index; replicas share the mapped snapshot."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request, Response
from ray import serve

from mcmfh.config import Config
from mcmfh.serving import problems
from mcmfh.serving.queries import BodyTooLarge, read_query
from mcmfh.serving.retrieval import Retrieval
from mcmfh.snapshots.archive import archive_root

api = FastAPI(title="mcmfh", summary="Exact cross-modal retrieval of medical images and reports")
problems.install(api)


@serve.deployment(max_ongoing_requests=64, health_check_period_s=5, graceful_shutdown_timeout_s=10)
@serve.ingress(api)
class Endpoint:
    def __init__(self, config: dict[str, Any]):
        self.config = Config.model_validate(config)
        self.retrieval = Retrieval(
            archive_root(self.config.store, self.config.archive.name), self.config.archive.limits
        )
        # Torch must not hold up the event loop, and its threads gain nothing from company.
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="retrieval")

    async def _run(self, call: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.worker, call, *args)

    async def _query(self, request: Request) -> Any:
        limit = self.config.serve.max_body_mb
        try:
            return await read_query(request, limit * 2**20)
        except BodyTooLarge:
            raise HTTPException(413, f"the request is larger than {limit} MB; send a smaller image") from None

    @api.post("/v1/search")
    async def search(self, request: Request) -> dict[str, Any]:
        """Nearest reports, images or studies: multipart image=@file and/or report, or JSON."""
        answer = await self._run(self.retrieval.search, await self._query(request))
        for hit in answer["hits"]:
            if hit["image"]:
                hit["image"] = f"/v1/items/{quote(hit['item_id'], safe='')}/image"
        return answer

    @api.post("/v1/hash")
    async def hash(self, request: Request) -> dict[str, Any]:
        """The same query → its code."""
        codes = await self._run(self.retrieval.codes, await self._query(request))
        return {"code": {modality: code.tobytes().hex() for modality, code in codes.items()}}

    @api.get("/v1/items/{item_id}")
    async def item(self, item_id: str) -> dict[str, Any]:
        """What may be shown of an item."""
        found = await self._run(self.retrieval.item, item_id)
        if found is None:
            raise HTTPException(404, "no such item in this snapshot")
        return found

    @api.get("/v1/items/{item_id}/image")
    async def image(self, item_id: str) -> Response:
        """A thumbnail (JPEG)."""
        picture = await self._run(self.retrieval.thumbnail, item_id)
        if picture is None:
            raise HTTPException(404, "no such picture in this snapshot")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @api.get("/v1/version")
    async def version(self) -> dict[str, Any]:
        """Snapshot, model and encoder that answer."""
        return self.retrieval.version()

    @api.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        return {"status": "alive"}

    @api.get("/readyz")
    async def readyz(self) -> dict[str, str]:
        return {"status": "ready"}


def start(config: Config) -> str:
    """Deploy on the connected Ray and wait until a replica answers; returns the endpoint's URL."""
    serve.start(http_options={"host": config.serve.host, "port": config.serve.port})
    application = Endpoint.options(num_replicas=config.serve.replicas).bind(config.model_dump(mode="json"))  # type: ignore[attr-defined]
    serve.run(application, name="mcmfh", route_prefix="/")
    return f"http://{config.serve.host}:{config.serve.port}"
