"""GET and POST /search: what the index finds, where it came from, and which system found it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from groundup.serving.observe import trace_of
from groundup.serving.results import Coverage, Found
from groundup.serving.schema import MAX_QUERY, SearchBody, checked_query
from groundup.serving.service import Service
from groundup.serving.snippet import matches, snippet
from groundup.serving.work import in_thread

router = APIRouter()


@router.get("/search")
async def search_get(
    request: Request,
    q: Annotated[str, Query(max_length=MAX_QUERY)],
    k: Annotated[int, Query(ge=1, le=100)] = 10,
    system: str = "best",
    explain: bool = False,
) -> dict[str, Any]:
    return await _search(request, checked_query(q, "q"), k, system, explain)


@router.post("/search")
async def search_post(request: Request, body: SearchBody) -> dict[str, Any]:
    body.refuse_unsupported()
    return await _search(request, checked_query(body.query, "query"), body.k, body.system, body.explain)


async def _search(request: Request, query: str, k: int, system: str, explain: bool) -> dict[str, Any]:
    service: Service = request.app.state.service
    trace = trace_of(request)

    def look(_: object) -> tuple[list[Found], str, Coverage]:
        found, status = service.search(query, k, system, explain=explain), service.status()
        trace.query = dict(service.describe_query(query, found))
        return found, status.best_system if system == "best" else system, status.coverage

    found, used, coverage = await in_thread(request, look)
    trace.system, trace.results, trace.prompt = used, len(found), query
    return {
        "query": query,
        "system": used,
        "coverage": coverage_entry(coverage),
        "results": [_entry(query, result, explain) for result in found],
    }


def coverage_entry(coverage: Coverage) -> dict[str, Any]:
    return {
        "embedded": coverage.embedded, "chunks": coverage.chunks, "encoder": coverage.encoder,
        "sentence": coverage.sentence,
    }  # fmt: skip


def _entry(query: str, found: Found, explain: bool) -> dict[str, Any]:
    shown = snippet(query, found.text)
    entry: dict[str, Any] = {
        "rank": found.rank, "score": found.score, "id": found.id, "source": found.source, "line": found.line,
        "title": found.title, "kind": found.kind, "found_by": found.found_by, "text": found.text,
        "snippet": {"text": shown.text, "line": found.line + shown.lines_before, "marks": shown.marks},
    }  # fmt: skip
    if explain:
        entry |= {
            "scores": found.scores, "matched": [asdict(term) for term in found.matched], "unknown": found.unknown,
            "terms": sorted({found.text[a:b] for a, b in matches(query, found.text)}),
        }  # fmt: skip
    return entry
