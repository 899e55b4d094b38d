"""What a served release does: metrics, the request log, drift."""
