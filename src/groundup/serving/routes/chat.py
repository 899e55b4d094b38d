"""POST /v1/chat/completions: answer a conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from groundup.errors import RequestError
from groundup.generation.generator import Piece
from groundup.serving.observe import trace_of
from groundup.serving.results import Generation
from groundup.serving.routes.generation import header, notes, run, run_streaming, usage
from groundup.serving.routes.tracing import require_tracing, traced
from groundup.serving.schema import ChatBody
from groundup.serving.service import Cancelled, Service
from groundup.serving.sse import COMMENT, event, event_stream
from groundup.serving.work import in_thread

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat(request: Request, body: ChatBody) -> Response:
    body.refuse_unsupported()
    if body.top_logprobs and not body.logprobs:
        raise RequestError("it needs logprobs", mend="Send logprobs: true with it.", param="top_logprobs")
    sampling = body.sampling(top_logprobs=body.top_logprobs or 0, max_tokens=body.max_completion_tokens)
    messages = body.plain_messages()
    service: Service = request.app.state.service
    require_tracing(service, body.trace)
    trace = trace_of(request)
    trace.prompt = messages[-1]["content"]

    def prepare(cancelled: Cancelled) -> Generation:
        return service.chat(body.model, messages, sampling, cancelled, memory=body.memory)

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
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": pieces[-1].finish_reason if pieces else None,
        "logprobs": _logprobs(generation, pieces) if body.logprobs else None,
    }
    head = header(request, "chatcmpl", "chat.completion", generation.model)
    return JSONResponse(
        head | {"choices": [choice], "usage": usage(generation, len(pieces))} | notes(generation, found)
    )


async def _chunks(request: Request, body: ChatBody, generation: Generation) -> AsyncIterator[str]:
    head = header(request, "chatcmpl", "chat.completion.chunk", generation.model) | notes(generation)

    def chunk(delta: dict[str, str], reason: str | None = None, logprobs: dict[str, Any] | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        return event(head | {"choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    count, text = 0, ""
    async for piece in run_streaming(request, generation):
        if piece is None:
            yield COMMENT
            continue
        count, text = count + 1, text + piece.text
        if piece.text or body.logprobs:
            yield chunk({"content": piece.text}, None, _logprobs(generation, [piece]) if body.logprobs else None)
        if piece.finish_reason:
            yield chunk({}, piece.finish_reason)
    if body.usage_wanted:
        yield event(head | {"choices": [], "usage": usage(generation, count)})
    if body.trace:
        found = await in_thread(request, lambda _: traced(request.app.state.service, text, trace_of(request)))
        yield event(head | {"choices": []} | notes(generation, found))


def _logprobs(generation: Generation, pieces: Sequence[Piece]) -> dict[str, Any]:
    def entry(token: int, logprob: float) -> dict[str, Any]:
        data = generation.token_bytes(token)
        return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}

    return {
        "content": [
            entry(piece.token_id, piece.logprob)
            | {"top_logprobs": [entry(token, logprob) for token, logprob in piece.top_logprobs]}
            for piece in pieces
            if not generation.is_end(piece.token_id)
        ],
        "refusal": None,
    }
