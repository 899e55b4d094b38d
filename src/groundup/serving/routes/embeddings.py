"""POST /v1/embeddings: unit vectors, as numbers or as base64 of little-endian float32."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request

from groundup.errors import RequestError
from groundup.serving.observe import trace_of
from groundup.serving.schema import EmbeddingBody
from groundup.serving.service import Service
from groundup.serving.work import in_thread

router = APIRouter()


@router.post("/v1/embeddings")
async def embed(request: Request, body: EmbeddingBody) -> dict[str, Any]:
    body.refuse_unsupported()
    texts = body.texts()
    service: Service = request.app.state.service
    done = await in_thread(request, lambda _: service.embed(body.model, texts, body.input_type, truncate=body.truncate))
    if body.dimensions not in (None, done.vectors.shape[1]):
        mend = f"Leave it out: {done.model} gives {done.vectors.shape[1]}."
        raise RequestError(f"{body.dimensions} is not supported here", mend=mend, param="dimensions")
    trace = trace_of(request)
    trace.model, trace.prompt_tokens = done.model, done.tokens
    entries = [
        {"object": "embedding", "index": at, "embedding": _encoded(row, body.encoding_format)}
        for at, row in enumerate(done.vectors)
    ]
    answer = {
        "object": "list", "data": entries, "model": done.model,
        "usage": {"prompt_tokens": done.tokens, "total_tokens": done.tokens},
    }  # fmt: skip
    return answer | ({"groundup": {"truncated": done.truncated}} if done.truncated else {})


def _encoded(row: npt.NDArray[np.float32], form: str) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
    return [float(value) for value in row]
