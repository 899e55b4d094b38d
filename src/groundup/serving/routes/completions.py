"""POST /v1/completions: continue a text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from groundup.errors import RequestError
from groundup.generation.generator import Piece
from groundup.serving.observe import trace_of
from groundup.serving.results import Generation
from groundup.serving.routes.generation import header, notes, run, run_streaming, token_text, usage
from groundup.serving.routes.tracing import require_tracing, traced
from groundup.serving.schema import CompletionBody
from groundup.serving.service import Cancelled, Service
from groundup.serving.sse import COMMENT, event, event_stream
from groundup.serving.work import in_thread

router = APIRouter()
MAX_LOGPROBS = 5  # OpenAI's own bound for this endpoint


@router.post("/v1/completions")
async def complete(request: Request, body: CompletionBody) -> Response:
    body.refuse_unsupported()
    if body.logprobs is not None and not 0 <= body.logprobs <= MAX_LOGPROBS:
        raise RequestError(f"{body.logprobs} is out of bounds", mend=f"Send 0 to {MAX_LOGPROBS}.", param="logprobs")
    sampling, prompt = body.sampling(top_logprobs=body.logprobs or 0), body.one_prompt()
    service: Service = request.app.state.service
    require_tracing(service, body.trace)
    trace = trace_of(request)
    trace.prompt = prompt if isinstance(prompt, str) else ""

    def prepare(cancelled: Cancelled) -> Generation:
        return service.complete(body.model, prompt, sampling, cancelled, truncate=body.truncate, memory=body.memory)

    if body.stream:
        gone = request.app.state.gone(request)
        generation = await in_thread(request, lambda _: prepare(gone))
        return event_stream(request, _chunks(request, body, generation))

    def answer(cancelled: Cancelled) -> tuple[Generation, list[Piece], str, dict[str, Any] | None]:
        generation = prepare(cancelled)
        pieces = run(generation, trace)
        text = "".join(piece.text for piece in pieces)
        return generation, pieces, text, traced(service, text, trace) if body.trace else None

    generation, pieces, text, found = await in_thread(request, answer)
    choice = {
        "index": 0,
        "text": text,
        "finish_reason": pieces[-1].finish_reason if pieces else None,
        "logprobs": _logprobs(generation, pieces, 0) if body.logprobs is not None else None,
    }
    head = header(request, "cmpl", "text_completion", generation.model)
    return JSONResponse(
        head | {"choices": [choice], "usage": usage(generation, len(pieces))} | notes(generation, found)
    )


async def _chunks(request: Request, body: CompletionBody, generation: Generation) -> AsyncIterator[str]:
    head = header(request, "cmpl", "text_completion", generation.model) | notes(generation)
    count, offset, text = 0, 0, ""
    async for piece in run_streaming(request, generation):
        if piece is None:
            yield COMMENT
            continue
        count, text = count + 1, text + piece.text
        logprobs = _logprobs(generation, [piece], offset) if body.logprobs is not None else None
        offset += len(piece.text)
        if piece.text or piece.finish_reason or logprobs:
            choice = {"index": 0, "text": piece.text, "finish_reason": piece.finish_reason, "logprobs": logprobs}
            yield event(head | {"choices": [choice]})
    if body.usage_wanted:
        yield event(head | {"choices": [], "usage": usage(generation, count)})
    if body.trace:
        found = await in_thread(request, lambda _: traced(request.app.state.service, text, trace_of(request)))
        yield event(head | {"choices": []} | notes(generation, found))


def _logprobs(generation: Generation, pieces: Sequence[Piece], offset: int) -> dict[str, Any]:
    shown = [piece for piece in pieces if not generation.is_end(piece.token_id)]
    offsets = []
    for piece in shown:
        offsets.append(offset)
        offset += len(token_text(generation, piece.token_id))
    return {
        "tokens": [token_text(generation, piece.token_id) for piece in shown],
        "token_logprobs": [piece.logprob for piece in shown],
        "top_logprobs": [
            {token_text(generation, token): logprob for token, logprob in piece.top_logprobs} for piece in shown
        ],
        "text_offset": offsets,
    }
