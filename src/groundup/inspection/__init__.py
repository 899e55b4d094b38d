"""Looking into a model: one text through it, and a page that shows what happened at each layer."""
