"""The fixed mix of texts that every measurement reads: 20 to 20,000 characters, made from the corpus."""

from __future__ import annotations

import random
from functools import lru_cache

from nlp_compliance.records import Document
from training.corpus import load_split

SEED = 11
# (number of documents, characters): most posts are short, most articles about two thousand, a few very long.
MIX = ((120, 20), (120, 60), (120, 150), (90, 400), (60, 1_000), (40, 2_000), (12, 5_000), (4, 20_000))


@lru_cache(maxsize=1)
def stock() -> str:
    """Training and validation texts in a fixed random order, as one long text."""
    texts = [e.text for split in ("train", "validation") for e in load_split(split)]
    random.Random(SEED).shuffle(texts)
    return "\n".join(texts)


def text_of(characters: int, source: str, start: int = 0) -> str:
    """`characters` of `source` from `start` on, going round."""
    out = source[start % len(source) :][:characters]
    while len(out) < characters:
        out += source[: characters - len(out)]
    return out


def mixed(share: float = 1.0, *, longest: int = 20_000) -> list[Document]:
    """The mix in a fixed random order; `share` of the documents of each length up to `longest`."""
    source, rng = stock(), random.Random(SEED)
    sizes = [size for count, size in MIX if size <= longest for _ in range(round(count * share))]
    rng.shuffle(sizes)
    return [Document(str(i), text_of(size, source, rng.randrange(len(source)))) for i, size in enumerate(sizes)]
