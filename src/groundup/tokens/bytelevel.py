"""The byte ↔ character table of byte-level BPE, and the pre-tokenizers that llama.cpp knows by name.

Source: Radford et al. 2019 (GPT-2): printable bytes stand for themselves, the other 68 take the characters from U+0100
on, so that a vocabulary can be written as text.
"""

from __future__ import annotations

from tokenizers import Regex, pre_tokenizers

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_characters() -> list[str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = [chr(byte) for byte in range(256)]
    for offset, byte in enumerate(byte for byte in range(256) if byte not in printable):
        characters[byte] = chr(0x100 + offset)
    return characters


BYTE_TO_CHARACTER: list[str] = _byte_characters()
CHARACTER_TO_BYTE: dict[str, int] = {character: byte for byte, character in enumerate(BYTE_TO_CHARACTER)}


def token_to_bytes(token: str) -> bytes:
    """Bytes that a byte-level vocabulary entry stands for. A character outside the table stands for its own UTF-8."""
    if all(character in CHARACTER_TO_BYTE for character in token):
        return bytes(CHARACTER_TO_BYTE[character] for character in token)
    return token.encode("utf-8", "replace")


def pre_tokenizer(name: str) -> pre_tokenizers.PreTokenizer | None:
    """Pre-tokenizer by the name GGUF files give it (`tokenizer.ggml.pre`), or None if it isn't known here.

    Source of the names and patterns: llama.cpp `src/llama-vocab.cpp`; checked against the Hugging Face tokenizers.
    """
    split, digits, level = pre_tokenizers.Split, pre_tokenizers.Digits, pre_tokenizers.ByteLevel
    plain = level(add_prefix_space=False, trim_offsets=False, use_regex=False)
    gpt2 = level(add_prefix_space=False, trim_offsets=False, use_regex=True)
    if name in ("qwen2", "deepseek-r1-qwen", "stablelm2"):
        return pre_tokenizers.Sequence([split(Regex(QWEN2_PATTERN), "isolated", False), plain])
    if name in ("llama3", "llama-v3", "llama-bpe", "falcon3"):
        return pre_tokenizers.Sequence([split(Regex(LLAMA3_PATTERN), "isolated", False), plain])
    if name in ("smollm", "starcoder", "refact", "command-r", "codeshell"):
        return pre_tokenizers.Sequence([digits(individual_digits=True), gpt2])
    if name in ("gpt-2", "gpt2", "phi-2", "olmo", "jais", "roberta-bpe"):
        return gpt2
    return None


def utf8(text: str) -> str:
    """The text with "?" for each lone surrogate, which no UTF-8 file can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
