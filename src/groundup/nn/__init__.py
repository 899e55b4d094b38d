"""The transformer core. Legend of shapes: B batch, T positions, H query heads, K key/value heads, D head dimension, C width, V vocabulary."""
