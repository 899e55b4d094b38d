"""The HTTP surface: the OpenAI API, search, answers, and the page."""
