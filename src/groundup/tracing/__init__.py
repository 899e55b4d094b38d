"""From a text to the documents its words stand in."""
