"""What completions, chat and ask share: running a generation, counting it, and the parts of a response."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.requests import Request

from groundup.generation.generator import Piece
from groundup.serving.observe import Trace, trace_of
from groundup.serving.results import Generation
from groundup.serving.work import Cancelled, stream


def run(generation: Generation, trace: Trace) -> list[Piece]:
    """All pieces, in the calling thread."""
    return list(_counted(generation, trace))


async def run_streaming(request: Request, generation: Generation) -> AsyncIterator[Piece | None]:
    """Pieces as they come; None when the stream should say that it lives."""
    trace = trace_of(request)

    def items(_: Cancelled) -> Iterator[Piece]:
        return _counted(generation, trace)

    async for piece in stream(request, items):
        yield piece


def _counted(generation: Generation, trace: Trace) -> Iterator[Piece]:
    trace.model, trace.prompt_tokens, trace.memory = generation.model, generation.prompt_tokens, generation.mixes
    for piece in generation.pieces:
        trace.token()
        if piece.finish_reason:
            trace.finish_reason = piece.finish_reason
        yield piece


def usage(generation: Generation, completion_tokens: int) -> dict[str, int]:
    """Tokens as OpenAI counts them: an end token counts, it was computed."""
    return {
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": generation.prompt_tokens + completion_tokens,
    }


def header(request: Request, prefix: str, kind: str, model: str) -> dict[str, Any]:
    """The fields every response and every chunk begins with."""
    return {
        "id": f"{prefix}-{trace_of(request).id}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": request.app.state.fingerprint,
    }


def notes(generation: Generation, traced: dict[str, Any] | None = None) -> dict[str, Any]:
    """`groundup` in a response: what happened that OpenAI's fields have no place for.

    memory: whether the text was drawn from the model and the corpus' memory together.
    """
    found: dict[str, Any] = {"memory": generation.mixes}
    if generation.dropped_tokens:
        found["dropped_prompt_tokens"] = generation.dropped_tokens
    if traced is not None:
        found["trace"] = traced
    return {"groundup": found}


def token_text(generation: Generation, token: int) -> str:
    """A token as text; one that is no whole character as OpenAI writes it, so that two of them stay apart."""
    data = generation.token_bytes(token)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
