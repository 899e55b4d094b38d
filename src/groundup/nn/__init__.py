"""The transformer core: one set of parts makes the decoder (causal) and the encoder (bidirectional). Knows only torch.

Legend for shapes: B batch, T positions of this call, S positions attended to (cached ones first), H query heads,
K key/value heads, D head dimension, C width of the residual stream, F feed-forward width, V vocabulary, N rows.
"""
