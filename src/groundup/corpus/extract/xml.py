"""XML: the items of RSS and Atom feeds under their titles; the text of any other XML, or the file itself where it is
mostly markup."""

from __future__ import annotations

import re

from lxml import etree

from groundup.corpus.decode import XML_ENCODING
from groundup.corpus.document import make_document
from groundup.corpus.extract.base import Context, Found, RawFile, encoding_note, read_text
from groundup.corpus.extract.html_text import visible_text
from groundup.corpus.funnel import Event

ITEMS = frozenset({"item", "entry"})
ITEM_TEXTS = ("encoded", "content", "description", "summary")  # RSS's content:encoded is the whole text; fullest first
PROSE_SHARE = 0.4  # of the file's characters outside of tags, above which the text is kept and the tags are not
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def extract_xml(file: RawFile, context: Context) -> Found:
    decoded, events = read_text(file, XML_ENCODING)
    yield from events
    if decoded is None:
        return
    metadata = {"format": "xml", **encoding_note(decoded)}
    try:
        # Entities stay unresolved and nothing is loaded: no billion laughs, no file of this machine in a document.
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
        root = etree.fromstring(DECLARATION.sub("", decoded.text).encode("utf-8"), parser=parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        yield Event("changed", "read", "broken_xml", "broken_xml: no element found; kept as plain text", file.source)
        yield make_document(file.source, decoded.text, group=file.group, title=file.name, kind="code", language="xml")
        return
    items = [element for element in root.iter() if _name(element) in ITEMS]
    if items:
        channel = next((_text(child) for child in root.iter() if _name(child) == "title"), "")
        text = "\n\n".join([f"# {channel}", *(_item(item) for item in items)])
        yield make_document(
            file.source, text + "\n", group=file.group, title=channel or file.name, kind="prose",
            metadata={**metadata, "format": "feed"},
        )  # fmt: skip
        return
    lines = [" ".join(line.split()) for line in root.itertext()]
    text = "\n".join(line for line in lines if line)
    if len(text) >= PROSE_SHARE * len(decoded.text):
        yield make_document(
            file.source, text + "\n", group=file.group, title=file.name, kind="prose", metadata=metadata
        )
    else:
        yield make_document(
            file.source, decoded.text, group=file.group, title=file.name, kind="code", language="xml",
            metadata=metadata,
        )  # fmt: skip


def _item(item: etree._Element) -> str:
    fields: dict[str, str] = {}
    for child in item:
        name = _name(child)
        if name and len(text := _text(child)) > len(fields.get(name, "")):
            fields[name] = text
    body = next((fields[name] for name in ITEM_TEXTS if fields.get(name)), "")
    return f"## {fields.get('title', '')}\n\n{visible_text(body) if '<' in body else body}".strip()


def _text(element: etree._Element) -> str:
    return "".join(element.itertext()).strip()


def _name(element: etree._Element) -> str:
    """Name without namespace; "" for comments and the like."""
    return etree.QName(element).localname.lower() if isinstance(element.tag, str) else ""
