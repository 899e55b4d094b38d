"""One small file per surface: models, completions, chat, embeddings, search, ask, tracing, health, page."""
