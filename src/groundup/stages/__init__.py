"""One thin file a stage: recipe and input artifacts to library calls to an output artifact."""
