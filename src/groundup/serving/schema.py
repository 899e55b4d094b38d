"""Bodies of requests, as OpenAI's clients send them, with the fields that vLLM and llama.cpp also take.

A field that would change the answer and isn't supported is refused by name, unless it holds the value that changes
nothing; a field that can't change the answer is ignored; a field nobody knows is refused with the nearest known one.
So an answer is never silently another than was asked for.
"""

from __future__ import annotations

import difflib
import secrets
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from groundup.errors import RequestError
from groundup.generation.sampling import Sampling

# Where a request says nothing. Small models lose the thread at the API's own default of 1.
DEFAULT_TEMPERATURE = 0.7
DEFAULT_TOP_P = 0.95

# Can't change the answer of a local model: who asks, where it is kept, what it costs.
IGNORED = frozenset(
    {
        "user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "parallel_tool_calls", "use_beam_search", "skip_special_tokens", "spaces_between_special_tokens",
    }
)  # fmt: skip


class Body(BaseModel):
    """`neutral`: unsupported fields with the values that change nothing. `extras` stay to be checked by `refuse`."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, values: Any) -> Any:
        """JSON can hold half a character ("\\ud800"), which no tokenizer takes and no answer can repeat."""
        if not _encodable(values):
            raise ValueError("it holds half of a surrogate pair, which is no text; send whole characters")
        return values

    def refuse_unsupported(self) -> None:
        """Raises RequestError that names the first field that isn't supported or known."""
        for name, value in (self.model_extra or {}).items():
            if name in IGNORED or value is None:
                continue
            if name in self.neutral:
                if value not in self.neutral[name]:
                    mend = "Leave it out." if name != "n" else "Send 1, and ask again for another answer."
                    raise RequestError(f"{value!r:.60} is not supported here", mend=mend, param=name)
                continue
            known = [*type(self).model_fields, *self.neutral, *sorted(IGNORED)]
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(type(self).model_fields)}."
            raise RequestError("there is no such field", mend=mend, param=name)


def _encodable(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_encodable(part) for pair in value.items() for part in pair)
    return all(map(_encodable, value)) if isinstance(value, list) else True


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
    include_usage: bool = False


class SamplingBody(Body):
    """What completions and chat share. `model` may be left out: the champion answers."""

    model: str = "champion"
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None  # left out: another text each time
    max_tokens: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    memory: Literal["auto", "off"] = "auto"  # auto: the corpus' memory has its say where it was measured to help
    trace: bool = False  # say where the words of what was written stand in the documents

    default_max_tokens: ClassVar[int] = 128
    default_temperature: ClassVar[float] = DEFAULT_TEMPERATURE
    default_repetition_penalty: ClassVar[float] = 1.0

    def sampling(self, *, top_logprobs: int = 0, max_tokens: int | None = None) -> Sampling:
        """Raises RequestError that names the field."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        wanted = max_tokens if max_tokens is not None else self.max_tokens
        return Sampling(
            temperature=_or(self.temperature, self.default_temperature),
            top_k=None if self.top_k in (0, -1) else self.top_k,  # how other servers switch it off
            top_p=_or(self.top_p, DEFAULT_TOP_P),
            min_p=_or(self.min_p, 0.0),
            repetition_penalty=_or(self.repetition_penalty, self.default_repetition_penalty),
            presence_penalty=_or(self.presence_penalty, 0.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            stop=stop,
            seed=secrets.randbelow(2**31) if self.seed is None else self.seed,
            max_tokens=self.default_max_tokens if wanted is None else wanted,
            top_logprobs=top_logprobs,
        )

    @property
    def usage_wanted(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionBody(SamplingBody):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logit_bias": ({},),
    }  # fmt: skip
    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: int | None = None
    truncate: bool = False  # a prompt longer than the context loses its beginning instead of being refused

    def one_prompt(self) -> str | list[int]:
        """The prompt, as text or token ids. Raises RequestError for several."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return prompt
        if prompt and isinstance(prompt[0], int):
            return [token for token in prompt if isinstance(token, int)]
        if len(prompt) == 1:
            return prompt[0]  # type: ignore[return-value]
        wrong = "there is no prompt" if not prompt else f"there are {len(prompt)} prompts"
        raise RequestError(wrong, mend="Send one prompt a request.", param="prompt")


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    type: str
    text: str = ""


class Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    role: str
    content: str | list[TextPart] | None = None


class ChatBody(SamplingBody):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        "n": (1,), "logit_bias": ({},), "tools": ([],), "functions": ([],), "tool_choice": ("none", "auto"),
        "function_call": ("none", "auto"), "response_format": ({"type": "text"},), "modalities": (["text"],),
        "audio": (), "prediction": (), "reasoning_effort": (), "verbosity": (), "web_search_options": (),
        "moderation": (), "chat_template": (), "add_generation_prompt": (True,),
    }  # fmt: skip
    messages: list[Message]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    default_max_tokens: ClassVar[int] = 512

    def plain_messages(self) -> list[dict[str, str]]:
        """Role and text of every message. Raises RequestError for what isn't text or a role of a conversation."""
        if not self.messages:
            raise RequestError("there are none", mend="Send at least one message.", param="messages")
        return [_plain(message, f"messages.{at}") for at, message in enumerate(self.messages)]


class EmbeddingBody(Body):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {}
    model: str = "champion"
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    input_type: Literal["query", "document"] = "document"  # for encoders that read queries in another way
    truncate: bool = False  # an input longer than the encoder reads is cut instead of refused

    def texts(self) -> list[str]:
        if isinstance(self.input, str):
            texts = [self.input]
        elif self.input and all(isinstance(text, str) for text in self.input):
            texts = [text for text in self.input if isinstance(text, str)]
        else:
            wrong = "there is no text" if not self.input else "token ids are not supported here"
            raise RequestError(wrong, mend="Send a string or a list of strings.", param="input")
        if len(texts) > MAX_INPUTS:
            raise RequestError(f"there are {len(texts):,} texts", mend=f"Send {MAX_INPUTS:,} at most.", param="input")
        empty = next((at for at, text in enumerate(texts) if not text), None)
        if empty is not None:
            raise RequestError(f"text {empty} is empty", mend="Leave empty texts out.", param="input")
        return texts


class SearchBody(Body):
    query: str
    k: int = Field(10, ge=1, le=100)
    system: str = "best"
    explain: bool = False


class TraceBody(Body):
    text: str

    def checked_text(self) -> str:
        if not self.text.strip():
            raise RequestError("it is empty", mend="Send the text to trace.", param="text")
        if len(self.text) > MAX_TRACED:
            mend = f"Send {MAX_TRACED:,} at most, a part at a time."
            raise RequestError(f"it has {len(self.text):,} characters", mend=mend, param="text")
        return self.text


class AskBody(SamplingBody):
    question: str
    k: int = Field(5, ge=1, le=20)
    generated: bool = True  # add an answer in the model's own words, labelled

    # From passages, and near the likeliest words; the penalty keeps small models from repeating a line for ever.
    default_max_tokens: ClassVar[int] = 160
    default_temperature: ClassVar[float] = 0.2
    default_repetition_penalty: ClassVar[float] = 1.1


MAX_INPUTS = 2048  # OpenAI's own bound
MAX_QUERY = 10_000  # characters
MAX_TRACED = 200_000  # characters


def checked_query(text: str, param: str) -> str:
    """The text, if it can be looked for. Raises RequestError."""
    if not text.strip():
        raise RequestError("it is empty", mend="Send some words to look for.", param=param)
    if len(text) > MAX_QUERY:
        raise RequestError(f"it has {len(text):,} characters", mend=f"Send {MAX_QUERY:,} at most.", param=param)
    return text


def _plain(message: Message, place: str) -> dict[str, str]:
    role = "system" if message.role == "developer" else message.role
    if role not in ("system", "user", "assistant"):
        mend = "Send system, user or assistant; tools are not supported here."
        raise RequestError(f"there is no role {role!r:.40} here", mend=mend, param=f"{place}.role")
    content = message.content
    if content is None:
        raise RequestError("there is no text", mend="Send a string.", param=f"{place}.content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    for at, part in enumerate(content):
        if part.type != "text":
            wrong = f"{part.type!r:.40} is not supported here"
            raise RequestError(wrong, mend="Send text.", param=f"{place}.content.{at}.type")
    return {"role": role, "content": "".join(part.text for part in content)}


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
