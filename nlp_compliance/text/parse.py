"""From a document to its normal text, sentences and the map back."""

from __future__ import annotations

import re

from nlp_compliance.errors import TextEncodingError
from nlp_compliance.records import Document, ParsedDocument
from nlp_compliance.text.normalise import normalise
from nlp_compliance.text.split import sentences

_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(document: Document) -> ParsedDocument:
    """The parsed form. Raises TextEncodingError for a lone surrogate, which no encoding can carry."""
    if lone := _SURROGATE.search(document.text):
        raise TextEncodingError(
            f"character {lone.start()} is the lone surrogate U+{ord(lone.group()):04X}; send the text as valid Unicode"
        )
    normal = normalise(document.text)
    return ParsedDocument(document, normal.text, normal.starts, normal.ends, sentences(normal.text))
