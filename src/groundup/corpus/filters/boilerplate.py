"""Pages that hold nothing but a plea for JavaScript, a cookie banner or a check for robots."""

from __future__ import annotations

import re

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy

# No such page goes without one of these: some substring searches instead of a pattern over every text.
_HEADS = (
    "javascript",
    "java script",
    "cookie",
    "your browser",
    "you are human",
    "you are a human",
    "unusual traffic",
    "please wait while we",
)
_SAYS_SO = re.compile(
    r"(?:enable|activate|turn on|requires?|without|supports?) java ?script"
    r"|java ?script (?:is|seems to be|must be) (?:\w+ )?(?:disabled|enabled|required|off|not)"
    r"|(?:we|this (?:web)?site|our partners)[^.\n]{0,40} uses? cookies|accept (?:all )?cookies|manage cookies"
    r"|cookie (?:policy|settings|preferences|consent|notice)|enable cookies"
    r"|by (?:continuing|clicking|using)[^.\n]{0,60} (?:you )?(?:agree|accept|consent)"
    r"|checking (?:your browser|if the site connection)|verify(?:ing)? (?:that )?you are (?:a )?human"
    r"|unusual traffic from your|please wait while we",
    re.IGNORECASE,
)


@over_batches
def boilerplate_only(document: Document, policy: CorpusPolicy) -> str:
    # A long text is about something; most documents end in one of these two lines.
    if document.kind != "prose" or len(document.text) > 12 * policy.boilerplate_max_words:
        return ""
    lowered = document.text.lower()
    if not any(head in lowered for head in _HEADS) or len(lowered.split()) > policy.boilerplate_max_words:
        return ""
    sentences = re.split(r"(?<=[.!?])\s+|\n+", document.text)
    said = sum(len(sentence) for sentence in sentences if _SAYS_SO.search(sentence))
    share = said / (sum(map(len, sentences)) or 1)
    if share <= policy.max_boilerplate_share:
        return ""
    return f"boilerplate_only: {share:.2f} > {policy.max_boilerplate_share:.2f}"
