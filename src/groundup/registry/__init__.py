"""Releases and the champion that serves."""
