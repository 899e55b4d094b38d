"""The corpus as an unbounded n-gram model (∞-gram, Liu et al. 2024): suffix arrays, longest match, backoff, the gate.

A context is what stands before a token in its document, its separator included. All contexts of the corpus are sorted
by their last token, then the one before it, and so on: those that end alike lie side by side, and beside each stands
the token that follows it. So one binary search finds the longest match of any context and everything that followed.
Knows numpy and numba only.
"""
