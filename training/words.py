"""Word vectors by skip-gram over far more text than an encoder can be shown in the same minutes.

Which words stand for one another is learned from company alone, so a shallow model that reads a hundred million
characters in ten minutes knows it better than a small encoder after its first five million. The vectors start the word table of
`training.wordtable`, which the encoder then reads beside the characters.
Source: Mikolov et al. 2013, skip-gram with negative sampling, as gensim implements it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rjieba
from gensim.models import Word2Vec
from safetensors.numpy import save_file

from training.pretrain import parse_source, sampled_texts
from training.tokenizer import PUNCTUATION_FOLD
from training.wordtable import VECTORS, WORDS

# What the table can hold: two and three characters, the length of nearly every Chinese word.
LENGTHS = (2, 3)


class Sentences:
    """Word lists of a cache of segmented lines; gensim reads it once an epoch."""

    def __init__(self, path: Path, longest: int = 400) -> None:
        self.path, self.longest = path, longest

    def __iter__(self) -> Iterator[list[str]]:
        with self.path.open(encoding="utf-8") as stream:
            for line in stream:
                words = line.split()
                for start in range(0, len(words), self.longest):
                    yield words[start : start + self.longest]


def segment(sources: list[tuple[Path, float]], target: Path, seed: int) -> None:
    """Write every paragraph as words parted by spaces; digits are one word, since figures carry no company of their own."""
    fold = str.maketrans(PUNCTUATION_FOLD)
    with target.open("w", encoding="utf-8") as out:
        for text in sampled_texts(sources, seed):
            for paragraph in text.lower().translate(fold).splitlines():
                words = ("0" if w[0].isdigit() else w for w in rjieba.cut(paragraph) if not w.isspace())
                out.write(" ".join(words) + "\n")


def save(model: Word2Vec, folder: Path, rows: int) -> int:
    """Keep the `rows` most frequent words of the lengths allowed: vectors of shape (words, size), each of length 1."""
    words = [w for w in model.wv.index_to_key if len(w) in LENGTHS and all("\u4e00" <= c <= "\u9fff" for c in w)]
    words = words[:rows]
    vectors = model.wv[words]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    save_file({"vectors": vectors.astype(np.float16)}, folder / VECTORS)
    (folder / WORDS).write_text("\n".join(words) + "\n", encoding="utf-8")
    return len(words)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.words", description=__doc__.split("\n")[0])
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE[:SHARE]", help="text files and their weight")
    parser.add_argument("--out", type=Path, required=True, help="folder for the vectors")
    parser.add_argument("--size", type=int, default=128, help="numbers a vector")
    parser.add_argument("--rows", type=int, default=60_000, help="words kept, most frequent first")
    parser.add_argument("--min-count", type=int, default=12, help="rarer words are left out")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--probe", nargs="*", default=[], help="print the nearest words of these")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    cache = args.out / "segmented.txt"
    if not cache.exists():
        segment([parse_source(s) for s in args.text], cache, args.seed)
    model = Word2Vec(
        Sentences(cache),
        vector_size=args.size,
        window=5,
        min_count=args.min_count,
        sg=1,
        negative=5,
        sample=1e-4,
        epochs=args.epochs,
        workers=args.threads,
        seed=args.seed,
    )
    print(f"{save(model, args.out, args.rows):,} words of {len(model.wv):,}", flush=True)
    for probe in args.probe:
        print(probe, " ".join(w for w, _ in model.wv.most_similar(probe, topn=12)) if probe in model.wv else "–")
    return 0


if __name__ == "__main__":
    sys.exit(main())
