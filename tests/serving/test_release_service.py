from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from groundup.errors import RequestError
from groundup.generation.sampling import Sampling
from groundup.serving.release_service import ServedMemory
from tests.serving.parts import HashEncoder, make_service, remembering


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


@pytest.mark.parametrize("fault", ["", "ends.bin is gone"])
@pytest.mark.parametrize(("completes", "answers"), [(True, None), (False, True)])
def test_a_text_says_what_it_missed_only_where_memory_would_have_had_a_say(
    fault: str, completes: bool, answers: bool | None
) -> None:
    whole = remembering(completes=completes, answers=answers)
    damaged = {name: ServedMemory(None, completes, answers, fault) for name in whole.memories}
    service = replace(whole, memories=damaged) if fault else whole
    sampling, question = Sampling(max_tokens=2), "what is a json string"

    def missed(**use: Any) -> list[tuple[bool, bool]]:
        asked, extract = [{"role": "user", "content": question}], service.extract(question, 3)
        made = [
            service.complete("champion", "JSON", sampling, lambda: False, truncate=True, **use),
            service.chat("champion", asked, sampling, lambda: False, **use),
            service.generated_answer("champion", question, extract, sampling, lambda: False, **use),
        ]
        return [(one.mixes, fault in one.missed and bool(one.missed)) for one in made if one is not None]

    says = [completes, answers is True, answers is True]
    assert missed() == [(say and not fault, say and bool(fault)) for say in says]
    assert missed(memory="off") == [(False, False)] * 3
