"""GET /healthz (the process answers), /readyz (it can serve), /metrics, /status (what the page shows)."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from groundup.serving.metrics import CONTENT_TYPE
from groundup.serving.routes.search import coverage_entry
from groundup.serving.service import Service
from groundup.serving.work import in_thread

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Ready while a release is loaded and the server is not stopping."""
    if request.app.state.stopping:
        return JSONResponse({"status": "stopping"}, 503)
    service: Service = request.app.state.service
    status = await in_thread(request, lambda _: service.status())
    return JSONResponse({"status": "ready", "release": status.release})


@router.get("/status")
async def status(request: Request) -> dict[str, Any]:
    service: Service = request.app.state.service
    now = await in_thread(request, lambda _: service.status())
    return dataclasses.asdict(now) | {"coverage": coverage_entry(now.coverage)}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    text = await in_thread(request, lambda _: request.app.state.metrics.text())
    return Response(text, media_type=CONTENT_TYPE)
