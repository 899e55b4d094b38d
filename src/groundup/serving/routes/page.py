"""GET / and its files. Everything the page needs is here: it loads nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter()
TYPES = {
    "page.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "parts.js": "text/javascript; charset=utf-8",
    "trace.js": "text/javascript; charset=utf-8",
}


@router.get("/")
async def page() -> Response:
    return _file("page.html")


@router.get("/static/{name}")
async def static(name: str) -> Response:
    if name not in TYPES:
        raise HTTPException(404)
    return _file(name)


def _file(name: str) -> Response:
    content = files("groundup.serving").joinpath("static", name).read_bytes()
    return Response(content, media_type=TYPES[name], headers={"cache-control": "no-cache"})
