"""What stands before every request: who may ask, how much they may send, and what a browser may do with the answer.

The server has no keys and listens on loopback, so the danger is a web page in the same person's browser. A page that
rebinds its own name to 127.0.0.1 sends that name in Host: only addresses and known names pass. A page elsewhere that
posts here sends its Origin: it must be this server. No CORS header is ever sent, so no other page reads an answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.serving.errors import error_body, respond

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Checks Host, Origin and body size; adds security headers. hosts: names allowed beside localhost."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], max_body_bytes: int) -> None:
        self._app, self._max = app, max_body_bytes
        self._hosts = {"localhost", *(host.lower().rstrip(".") for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._known(host):
            mend = f"Open it as localhost or by its address, or allow this name when starting the server: {host!r:.80}."
            body = error_body(f"This server does not answer to this name. {mend}", status=421, code="unknown_host")
            await respond(421, body)(scope, receive, send_guarded)
        elif origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            body = error_body("Requests from other web pages are refused.", status=403, code="cross_origin")
            await respond(403, body)(scope, receive, send_guarded)
        elif _length(headers) > self._max:
            body = error_body(_too_large(self._max), status=413, code="body_too_large")
            await respond(413, body)(scope, receive, send_guarded)
        else:
            await self._app(scope, _Limited(receive, self._max), send_guarded)

    def _known(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname if _sane(host) else None
        if not name:
            return False
        name = name.rstrip(".")
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)  # rebinding needs a name; an address always leads where it says
        except ValueError:
            return False
        return True


class _Limited:
    """`receive`, counting what it hands on: a chunked body announces no length."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._left = receive, limit, limit

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_large(self._limit))  # of all exceptions FastAPI lets only this through
        return message


def _length(headers: Headers) -> int:
    value = headers.get("content-length", "0")
    return int(value) if value.isdecimal() else 0


def _too_large(limit: int) -> str:
    return f"The body is larger than {limit:,} bytes."


def _sane(host: str) -> bool:
    return bool(host) and not any(character in host for character in "/@\\?# ")
