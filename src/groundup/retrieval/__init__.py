"""Chunks, sparse and dense search, fusion, the index, answers with citations."""
