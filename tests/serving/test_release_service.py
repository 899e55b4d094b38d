from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from groundup.errors import RequestError
from tests.serving.parts import HashEncoder, make_service


def test_an_encoder_that_shares_a_decoders_name_has_an_id_of_its_own() -> None:
    service = make_service()
    encoders = {"scratch": HashEncoder(), "hash": HashEncoder()}
    service = replace(service, encoders=encoders, best_encoder="scratch", notes={"encoder-scratch": "of the index"})
    models = {model.id: model for model in service.models()}
    assert list(models) == ["scratch", "chatty", "endless", "encoder-scratch", "hash"]
    assert len(models) == len(service.models())
    assert (models["scratch"].kind, models["encoder-scratch"].kind) == ("completion", "embedding")
    assert models["encoder-scratch"].serves
    assert (models["scratch"].note, models["encoder-scratch"].note) == ("", "of the index")
    made = [
        service.embed(name, ["a b"], "query", truncate=False) for name in ("encoder-scratch", "scratch", "champion")
    ]
    assert {one.model for one in made} == {"encoder-scratch"}
    assert all(np.array_equal(one.vectors, made[0].vectors) for one in made)
    assert service.embed("hash", ["a b"], "query", truncate=False).model == "hash"
    with pytest.raises(RequestError, match="Serving: encoder-scratch, hash"):
        service.embed("chatty", ["a b"], "query", truncate=False)
