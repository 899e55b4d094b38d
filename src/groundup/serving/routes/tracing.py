"""POST /trace: where a text's words stand in the documents. GET /documents/{id}: a passage of one, to look at them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from groundup.errors import RequestError
from groundup.serving.observe import Trace, trace_of
from groundup.serving.schema import TraceBody
from groundup.serving.service import Service
from groundup.serving.work import in_thread
from groundup.tracing.tracer import COPIED

router = APIRouter()
MAX_PASSAGE = 20_000  # characters


@router.post("/trace")
async def trace_post(request: Request, body: TraceBody) -> dict[str, Any]:
    body.refuse_unsupported()
    text = body.checked_text()
    trace = trace_of(request)
    trace.prompt = text
    service: Service = request.app.state.service
    return await in_thread(request, lambda _: traced(service, text, trace))


@router.get("/documents/{id}")
async def passage_get(
    request: Request,
    id: str,  # as errors name it
    start: Annotated[int, Query(ge=0)] = 0,
    length: Annotated[int, Query(ge=1, le=MAX_PASSAGE)] = 1_000,
) -> dict[str, Any]:
    """`start`, `length`, and the offsets in the answer are in code points, as Python counts characters."""
    service: Service = request.app.state.service
    return asdict(await in_thread(request, lambda _: service.passage(id, start, length)))


def require_tracing(service: Service, wanted: bool) -> None:
    """Raises RequestError before anything is written that couldn't be traced."""
    if wanted and not service.traces:
        wrong, mend = service.why_untraced
        raise RequestError(wrong, mend=f"Leave it out. {mend}", param="trace")


def traced(service: Service, text: str, trace: Trace) -> dict[str, Any]:
    """`spans` as `groundup trace --jsonl` has them; which share of the text's bytes is copied, and which is new.

    copied_run_tokens: of a run that counts as copied.
    """
    found = service.trace(text)
    size = len(text.encode())
    trace.traced_bytes, trace.copied_bytes = size, round(found.copied * size)
    return {
        "spans": found.spans_as_data(),
        "copied_share": found.copied,
        "new_share": found.new,
        "copied_run_tokens": COPIED,
    }
