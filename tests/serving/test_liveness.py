"""While a generation runs: the loop answers, a client that leaves stops it, the server ends in good order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time

import httpx
import pytest

from groundup.serving.app import create_app
from groundup.serving.server import listen
from tests.serving.conftest import Served
from tests.serving.parts import make_service, running, wait_until

LONG = {"model": "endless", "prompt": "JSON", "max_tokens": 7000, "stream": True}


def test_health_and_search_answer_while_a_model_writes(served: Served) -> None:
    wait_until(lambda: not served.busy)
    with (
        httpx.Client(base_url=served.url, timeout=60) as other,
        httpx.stream("POST", f"{served.url}/v1/completions", json=LONG, timeout=60) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        waits = []
        for path in ("/healthz", "/readyz", "/search?q=JSON", "/metrics") * 5:
            started = time.monotonic()
            assert other.get(path).status_code == 200
            waits.append(time.monotonic() - started)
        assert served.busy  # it was writing all the while
        assert sorted(waits)[len(waits) // 2] < 0.5
    wait_until(lambda: not served.busy)


def test_a_client_that_leaves_a_stream_stops_the_generation(served: Served) -> None:
    with httpx.stream("POST", f"{served.url}/v1/completions", json=LONG, timeout=60) as stream:
        next(stream.iter_lines())
        assert served.busy
    started = time.monotonic()
    wait_until(lambda: not served.busy)
    assert time.monotonic() - started < 3


def test_a_client_that_leaves_without_a_stream_stops_the_generation(served: Served) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.url}/v1/completions", json=LONG | {"stream": False}, timeout=0.5)
    started = time.monotonic()
    wait_until(lambda: not served.busy)
    assert time.monotonic() - started < 3


def test_a_client_that_leaves_while_waiting_never_has_its_turn(served: Served) -> None:
    turns = served.service.generators["endless"].turns
    with turns.turn():
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/completions", json=LONG | {"stream": False}, timeout=0.5)
        wait_until(lambda: turns.waiting == 0)


def test_told_to_stop_the_server_ends_running_streams_with_a_reason() -> None:
    app = create_app(make_service())
    with running(app) as url, httpx.stream("POST", f"{url}/v1/completions", json=LONG, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        started = time.monotonic()
        app.state.server.should_exit = True
        rest = [line for line in lines if line]
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "unavailable"
    assert time.monotonic() - started < 5


def test_not_ready_while_stopping() -> None:
    app = create_app(make_service())
    with running(app) as url:
        assert httpx.get(f"{url}/readyz").json() == {"status": "ready", "release": "r1"}
        app.state.stopping.set()
        assert httpx.get(f"{url}/readyz").status_code == 503
        assert httpx.post(f"{url}/v1/completions", json={"prompt": "x"}).status_code == 503
        assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_good_order(number: int) -> None:
    program = textwrap.dedent("""
        from groundup.serving.app import create_app
        from groundup.serving.server import serve
        from tests.serving.parts import make_service
        serve(create_app(make_service()), port=0, ready=lambda url: print(url, flush=True))
        print("ended", flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        wait_until(lambda: _answers(url))
        threading.Timer(0.3, process.send_signal, (number,)).start()
        with httpx.stream("POST", f"{url}/v1/completions", json=LONG, timeout=60) as stream:
            text = stream.read().decode()
        assert process.stdout.readline() == "ended\n"
        assert process.wait(15) == 0
    assert '"code":"unavailable"' in text


@pytest.mark.parametrize("moment", ["when ready", "before uvicorn runs"])
def test_no_signal_is_lost_while_the_server_starts(moment: str) -> None:
    program = textwrap.dedent("""
        import os, signal, sys
        from groundup.serving import server
        from groundup.serving.app import create_app
        from tests.serving.parts import make_service

        def end_me():
            os.kill(os.getpid(), signal.SIGTERM)

        class Early(server.Server):
            def run(self, sockets=None):
                end_me()
                super().run(sockets)

        if sys.argv[1] != "when ready":
            server.Server = Early
        server.serve(create_app(make_service()), port=0, ready=lambda url: end_me())
        print("ended", flush=True)
    """)
    command = [sys.executable, "-c", program, moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_taken_port_is_named() -> None:
    from groundup.errors import RecipeError

    with listen("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(RecipeError, match=f"127.0.0.1:{port}: can't listen there .*--port 0"):
            listen("127.0.0.1", port)


def test_a_stream_that_waits_for_its_turn_says_that_it_lives(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.serving.work.HEARTBEAT", 0.05)
    body = LONG | {"max_tokens": 3}
    with served.service.generators["endless"].turns.turn():
        stream = httpx.stream("POST", f"{served.url}/v1/completions", json=body, timeout=60)
        opened = stream.__enter__()
        lines = opened.iter_lines()
        assert next(line for line in lines if line) == ": waiting"
    rest = [line for line in lines if line.startswith("data: ")]
    stream.__exit__(None, None, None)
    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
