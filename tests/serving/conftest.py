"""One server for the room's tests, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest

from groundup.monitoring.request_log import RequestLog
from groundup.serving.app import create_app
from groundup.serving.release_service import ReleaseService
from tests.serving.parts import make_service, running


@dataclass
class Served:
    url: str
    service: ReleaseService
    log: Path

    @property
    def busy(self) -> bool:
        return self.service.generators["scratch"].turns.busy


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, service = tmp_path_factory.mktemp("log"), make_service()
    log = RequestLog(folder)
    with running(create_app(service, log=log)) as url:
        yield Served(url, service, folder)
    log.close()


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as made:
        yield made
