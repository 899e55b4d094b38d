"""Every error as OpenAI's clients expect it: {"error": {"message", "type", "param", "code"}} and the right status."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from groundup.errors import GroundupError, RequestError
from groundup.generation.generator import ContextLengthError

log = logging.getLogger("groundup.serving")

# Status → type, as the public API and its clients name them.
TYPES = {
    404: "not_found_error",
    429: "rate_limit_error",
    503: "service_unavailable",
}


def error_body(message: str, *, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def describe(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body for any exception. What isn't ours to explain is logged and says nothing of its insides."""
    if isinstance(error, RequestError):
        return error.status, error_body(str(error), status=error.status, param=error.param, code=_code(error))
    if isinstance(error, GroundupError):
        return 500, error_body(str(error), status=500, code=type(error).__name__)
    log.error("a request failed", exc_info=error)
    message = "Something in the server failed; its log has the details."
    return 500, error_body(message, status=500, code="internal_error")


def respond(status: int, body: dict[str, Any]) -> JSONResponse:
    headers = {"Retry-After": "2"} if status in (429, 503) else None
    return JSONResponse(body, status, headers)


def install(app: FastAPI) -> None:
    """Map all exceptions of the app."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param, message = _field(first["loc"]), str(first["msg"])
        if first["type"] == "json_invalid":
            message, code, param = (
                f"The body is not JSON: {first.get('ctx', {}).get('error', '')}.",
                "invalid_json",
                None,
            )
        elif first["type"] == "value_error" and param is None:
            message, code = f"The body can't be read: {message.removeprefix('Value error, ')}.", "invalid_value"
        elif param is None:
            message, code = "Send a JSON object, with the header content-type: application/json.", "invalid_json"
        elif first["type"] == "missing":
            message, code = f"{param} is missing.", "missing_required_parameter"
        elif len({_field(each["loc"]) for each in error.errors()}) < len(error.errors()):
            message, code = f"{param} is of a type that is not allowed here.", "invalid_type"  # none of several
        else:
            message, code = f"{param}: {message}.", "invalid_value"
        return _answer(request, 400, error_body(message, status=400, param=param, code=code))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code
        message = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not allowed here."}
        return _answer(request, status, error_body(message.get(status, str(error.detail)), status=status))

    @app.exception_handler(GroundupError)
    async def _ours(request: Request, error: GroundupError) -> JSONResponse:
        return _answer(request, *describe(error))

    @app.exception_handler(Exception)
    async def _other(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, *describe(error))


def _field(place: Sequence[int | str]) -> str | None:
    """The field a person sent: pydantic's place without "body" and the names of the types it tried."""
    types = ("str", "StreamOptions", "TextPart", "Message")
    names = [str(part) for part in place[1:] if part not in types and "[" not in str(part)]
    return ".".join(names) or None


def _answer(request: Request, status: int, body: dict[str, Any]) -> JSONResponse:
    trace = request.scope.get("groundup.trace")
    if trace is not None:
        trace.error = body["error"]["code"] or body["error"]["type"]
    return respond(status, body)


def _code(error: RequestError) -> str | None:
    if isinstance(error, ContextLengthError):
        return "context_length_exceeded"
    if error.status == 404:
        return "model_not_found" if error.param == "model" else "not_found"
    return {429: "too_many_requests", 503: "unavailable"}.get(error.status, "invalid_value")
