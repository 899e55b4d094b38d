"""groundup: a language model and a search engine from your own documents, measured part by part."""

from importlib import metadata

__version__ = metadata.version("groundup")
