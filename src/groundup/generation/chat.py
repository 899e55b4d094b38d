"""A conversation as the prompt its model was trained on: the model's own chat template, rendered in a sandbox.

A template comes with a model that anybody may have made, so it runs in jinja2's immutable sandbox: no attribute that
begins with an underscore, nothing changed outside, no import. What people write is data: a message that spells
"<|im_end|>" is a message about it, and never ends its turn.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from groundup.errors import RequestError
from groundup.tokens.tokenizer import Tokenizer

ROLES = ("system", "user", "assistant")
MAX_RENDERED = 4_000_000  # characters; a template that multiplies its input is stopped here


def render_chat(
    template: str | None, messages: Sequence[Mapping[str, str]], *, special: Mapping[str, str] | None = None
) -> str:
    """The prompt as text, ending where the assistant's answer begins.

    messages: each with "role" and "content". special: `bos_token`, `eos_token`, … for templates that name them.
    Raises RequestError if the model has no template, or its template refuses these messages (says so in its words).
    """
    if template is None:
        raise RequestError(
            "this model has no chat template: it continues text and was not trained to chat",
            mend="Send the text to /v1/completions, or name a model that can chat (see /v1/models).",
            param="model",
        )
    try:
        rendered = _compiled(template).render(
            messages=[dict(message) for message in messages], add_generation_prompt=True, **(special or {})
        )
    except _RefusedError as error:
        mend = "Change the messages as it asks."
        raise RequestError(f"the model's chat template refuses them ({error})", mend=mend, param="messages") from None
    except (
        Exception
    ) as error:  # whatever it is, it is the template's: includes, arithmetic, attributes that aren't there
        mend = "Bring a model whose tokenizer_config.json has a working chat_template."
        wrong = f"the model's chat template can't be rendered ({error})"
        raise RequestError(wrong, mend=mend, param="model", status=500) from None
    if len(rendered) > MAX_RENDERED:
        raise RequestError("the conversation is too long", mend="Send fewer messages.", param="messages")
    return rendered


def encode_chat(tokenizer: Tokenizer, template: str | None, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of the rendered conversation. Special tokens count only where the template wrote them."""
    names = sorted(tokenizer.special, key=len, reverse=True)
    contents = "".join(message["content"] for message in messages)
    special = _named_tokens(tokenizer)
    if not any(name in contents for name in names):
        return tokenizer.encode(render_chat(template, messages, special=special), specials=True)
    # Break what the messages spell with a character none of them holds, then cut at what is still whole: that is the
    # template's. A tokenizer cuts there too before it looks at anything else, so no other token changes.
    mark = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in contents)
    spelled = re.compile("|".join(map(re.escape, names)))
    broken = [
        {**message, "content": spelled.sub(lambda found: found[0][0] + mark + found[0][1:], message["content"])}
        for message in messages
    ]
    ids: list[int] = []
    parts = re.split(f"({spelled.pattern})", render_chat(template, broken, special=special))
    for at, part in enumerate(parts):
        if part in tokenizer.special:
            ids.append(tokenizer.special[part])
        else:
            ids += tokenizer.encode(part.replace(mark, ""), inside=at > 0)
    return ids


def _named_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    name_of = {number: name for name, number in tokenizer.special.items()}
    found = {}
    if tokenizer.separator_id in name_of:
        found["bos_token"] = name_of[tokenizer.separator_id]
    if tokenizer.eos_ids and tokenizer.eos_ids[0] in name_of:
        found["eos_token"] = name_of[tokenizer.eos_ids[0]]
    return found


class _RefusedError(Exception):
    """A template called raise_exception."""


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %} … {% endgeneration %}` marks the assistant's text for training; here it is just its content."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    # The names and switches that Hugging Face's apply_chat_template gives templates.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _GenerationBlock]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment.from_string(template)


def _refuse(message: str) -> None:
    raise _RefusedError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)  # some templates tell the model today's date


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
