"""Sampling and the loop that turns a decoder into text."""
