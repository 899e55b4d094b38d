"""Main content of a web page: trafilatura's where it finds an article, the page's visible text where it doesn't.

trafilatura looks for one article; a shop, a forum or a list of jobs has none, and little or nothing of it is kept. So
its text must be a fair share of what the page shows outside of its frame, or what the page shows is taken instead.

Token F1 against the true content, mean over pages, and pages lost (F1 < .2). The thresholds were chosen on the
same pages, each near the middle of a flat stretch, so the last line flatters a little:

                                 181 news pages   lost   259 pages of 7 kinds   lost   ms a page
    trafilatura, its defaults    .948             1      .740                   23     47
    trafilatura, fast + recall   .953             1      .707                   35     25
    this                         .927             2      .768                   17     40
"""

from __future__ import annotations

import logging
import re

import lxml.html
from lxml import etree

MIN_SHARE = 0.3  # of the visible text that trafilatura must keep to be believed
MIN_MAIN_SHARE = 0.3  # of a page's text that its <main> must hold to be the page
MIN_VISIBLE_SHARE = 0.1  # of all of a page's text; below, what was left out as its frame is the page
MAX_FRAME_SHARE = 0.4  # of a page's text that something called a frame may hold; above, its name is wrong

UNSEEN = "script style template svg head iframe object audio video canvas"
CONTROLS = "noscript select button input textarea dialog"
FRAME = frozenset({"nav", "footer", "aside"})
FRAME_ROLES = frozenset(
    {"navigation", "banner", "contentinfo", "search", "complementary", "dialog", "alertdialog", "menu", "menubar"}
)
# Words in the class or id of what frames every page of a site; whole words only ("nav-item", not "navy").
FRAME_NAMES = re.compile(
    r"(^|[-_\s])(cookie|consent|gdpr|newsletter|breadcrumbs?|menu|navbar|nav|navigation|sidebar|footer|footnav|masthead|"
    r"social|share|sharing|popup|modal|skip|advert|ads|promo|signup|subscribe|login|toolbar|pagination|pager|related|"
    r"recommended|tags|banner)([-_\s]|$)",
    re.IGNORECASE,
)
BLANK_LINES = re.compile(r"\n\s*\n\s*\n+")
HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = (
    "address article blockquote body br dd div dl dt fieldset figcaption figure form footer header hr li main nav ol p "
    "pre section table tr ul"
)
BLOCKS = frozenset(_BLOCKS.split()) | HEADINGS.keys()


def main_text(html: str) -> tuple[str, str]:
    """The main content with Markdown's headings and list marks, and what found it: "trafilatura" or "visible text"."""
    import trafilatura  # 0.4 s: loaded by the workers that meet a page

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    visible = visible_text(html)
    try:
        found = trafilatura.extract(html, output_format="markdown", fast=True, favor_recall=True) or ""
    except Exception:  # any page may break a parser of pages; the visible text is still there
        found = ""
    if len(found) >= MIN_SHARE * len(visible):
        return BLANK_LINES.sub("\n\n", found), "trafilatura"
    return visible, "visible text"


def visible_text(html: str) -> str:
    """What a reader of the page sees outside of navigation, banners and footers, a line for each block.

    Where that is next to nothing the page is built in another way (a forum's posts in <noscript>, a shop within one
    <form>, everything in a "modal"), and all of its text is taken.
    """
    tree = parse(html)
    if tree is None:
        return ""
    _drop(tree, UNSEEN)
    everything = _lines(tree)
    _drop(tree, CONTROLS)
    root = _main_element(tree)
    whole = _length(root)
    for element in list(root.iter()):
        removable = isinstance(element.tag, str) and element is not root and element.getparent() is not None
        if removable and _frames(element) and _length(element) < MAX_FRAME_SHARE * whole:
            element.drop_tree()
    visible = _lines(root)
    return visible if len(visible) >= MIN_VISIBLE_SHARE * len(everything) else everything


def page_title(html: str) -> str:
    tree = parse(html)
    if tree is None:
        return ""
    title = tree.findtext(".//title") or tree.findtext(".//h1") or ""
    return " ".join(title.split())[:300]


def parse(html: str) -> lxml.html.HtmlElement | None:
    """The tree of a page, or None where there is none. The parser never loads what the page names."""
    try:
        # Bytes: lxml refuses text that declares an encoding.
        parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
        return lxml.html.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _drop(tree: lxml.html.HtmlElement, names: str) -> None:
    for element in tree.xpath("|".join(f"//{name}" for name in names.split())):
        if element.getparent() is not None:
            element.drop_tree()


def _main_element(tree: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    """The largest <main> if it holds a fair share of the text, else the whole page."""
    mains = tree.xpath('//main|//*[@role="main"]')
    largest = max(mains, key=_length, default=tree)
    return largest if _length(largest) >= MIN_MAIN_SHARE * _length(tree) else tree


def _frames(element: lxml.html.HtmlElement) -> bool:
    """Whether an element says of itself that it isn't content."""
    if element.tag in ("html", "body", "main", "article"):
        return False
    if element.tag in FRAME or element.get("role") in FRAME_ROLES:
        return True
    if element.get("aria-hidden") == "true" or element.get("hidden") is not None:
        return True
    if "display:none" in element.get("style", "").replace(" ", ""):
        return True
    if element.tag == "header" and not any(above.tag in ("article", "main") for above in element.iterancestors()):
        return True
    return FRAME_NAMES.search(f"{element.get('class', '')} {element.get('id', '')}") is not None


def _lines(root: lxml.html.HtmlElement) -> str:
    parts: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if not isinstance(element.tag, str):
            continue
        if element.tag in BLOCKS:
            parts.append("\n")
        if event == "start":
            parts.append(HEADINGS.get(element.tag, "- " if element.tag == "li" else ""))
            parts.append(element.text or "")
        else:
            if element.tag in ("td", "th"):
                parts.append(" ")
            if element is not root:
                parts.append(element.tail or "")
    # White space inside a block means nothing, the newlines between blocks do: they were put in as parts of their own.
    text = "".join(part if part == "\n" else " ".join(part.split("\n")) for part in parts)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line.strip("#- "))


def _length(element: lxml.html.HtmlElement) -> int:
    return sum(len(text.strip()) for text in element.itertext())
