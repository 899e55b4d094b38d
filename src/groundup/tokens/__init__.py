"""Tokenizers, token shards and the loader."""
