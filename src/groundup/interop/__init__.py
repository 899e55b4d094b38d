"""Weights and tokenizers of other projects, in and out; weight maps are data."""
