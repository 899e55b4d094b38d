"""GET /v1/models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from groundup.errors import RequestError
from groundup.serving.results import ServedModel
from groundup.serving.service import Service
from groundup.serving.work import in_thread

router = APIRouter()


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    service: Service = request.app.state.service
    served = await in_thread(request, lambda _: service.models())
    return {"object": "list", "data": [_entry(model) for model in served]}


@router.get("/v1/models/{model:path}")
async def model(request: Request, model: str) -> dict[str, Any]:
    service: Service = request.app.state.service
    served = await in_thread(request, lambda _: service.models())
    for entry in served:
        if entry.id == model:
            return _entry(entry)
    known = ", ".join(entry.id for entry in served)
    raise RequestError(f"there is no model {model!r:.80}", mend=f"Serving: {known}.", param="model", status=404)


def _entry(model: ServedModel) -> dict[str, Any]:
    entry = {
        "id": model.id, "object": "model", "created": model.created, "owned_by": "groundup", "kind": model.kind,
        "context_length": model.context_length, "serves": model.serves, "license": model.license, "note": model.note,
    }  # fmt: skip
    return entry | ({"dimension": model.dimension} if model.dimension else {})
