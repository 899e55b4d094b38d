"""Server-sent events in the form OpenAI's clients read: `data: {json}`, then `data: [DONE]`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.requests import Request

from groundup.serving.errors import describe
from groundup.serving.observe import trace_of

DONE = "data: [DONE]\n\n"
COMMENT = ": waiting\n\n"  # clients skip it; proxies see that the connection lives


def event(data: dict[str, Any], name: str = "") -> str:
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def event_stream(request: Request, events: AsyncIterator[str]) -> StreamingResponse:
    """Events, then [DONE]. An error after the first byte can't change the status: it is an event, as clients expect."""

    async def body() -> AsyncIterator[str]:
        try:
            async for text in events:
                yield text
        except Exception as error:
            _, described = describe(error)
            trace_of(request).error = described["error"]["code"] or described["error"]["type"]
            yield event(described)
        else:
            yield DONE

    return StreamingResponse(body(), media_type="text/event-stream", headers={"cache-control": "no-store"})
