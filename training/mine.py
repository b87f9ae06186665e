"""Label-free passages from text files for use as negatives, the likelier to fool the current model the likelier taken.

The input is text that is hardly ever promotion of insurance (news, law, health, questions on finance). A tenth of its
documents, chosen by hash, is held out: the false-alarm rate of the evaluation is measured there and never trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nlp_compliance.checker import build_checker
from nlp_compliance.records import Document, Report
from nlp_compliance.settings import Settings
from training.pretrain import parse_source, read_texts

# What an advert of insurance talks about; passages without any of it are easy and one in forty is enough.
_NEAR = re.compile(r"保险|医保|社保|报销|理赔|补贴|参保|投保|保障|政府|免费|返还|收益|保证|名额|截止|第一|唯一|最高")
# Lines of marketing copy and quizzes would be promotion after all.
_SELLING = re.compile(r"惠民保|立即投保|点击投保|马上投保|营销文案|文案")


@dataclass(frozen=True, slots=True)
class Passage:
    """`held_out` is the same for all passages of one document, whatever part of it is drawn."""

    text: str
    held_out: bool


def is_held_out(document: str) -> bool:
    """One document in ten, by content."""
    return hashlib.sha256(document.encode()).digest()[0] < 26


def passages(path: Path, rng: random.Random, *, shortest: int = 30, longest: int = 400) -> Iterator[Passage]:
    """One passage of random length from every document of `path`."""
    for text in read_texts(path):
        size = rng.randint(shortest, longest)
        start = rng.randint(0, max(0, len(text) - size))
        start = text.rfind("。", 0, start) + 1
        passage = text[start : start + size].strip()
        if len(passage) >= shortest and not _SELLING.search(passage):
            yield Passage(passage, is_held_out(text))


def candidates(sources: list[str], rng: random.Random, *, limit: int) -> list[Passage]:
    """Passages of all sources, near ones preferred, at most `limit`."""
    out: list[Passage] = []
    for spec in sources:
        path, share = parse_source(spec)
        for passage in passages(path, rng):
            if rng.random() < share and (_NEAR.search(passage.text) or rng.random() < 0.025):
                out.append(passage)
    rng.shuffle(out)
    return out[:limit]


def temptation(report: Report) -> float:
    """How near the model came to a false alarm: its strongest claim times its belief that the text sells."""
    labels = {f.label: f.score for f in report.findings}
    return report.promotional.score * max([*labels.values(), 0.1])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.mine", description=__doc__.split("\n")[0])
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE[:SHARE]")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSONL for training; <out>.held-out is written beside it"
    )
    parser.add_argument("--candidates", type=int, default=20000)
    parser.add_argument("--keep", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args(argv)
    rng = random.Random(args.seed)
    found = candidates(args.text, rng, limit=args.candidates)
    held = [p.text for p in found if p.held_out]
    rest = [p.text for p in found if not p.held_out]
    checker = build_checker(Settings.from_env())
    weighed = []
    for i in tqdm(range(0, len(rest), 256)):
        batch = rest[i : i + 256]
        for text, report in zip(batch, checker.check_many([Document("", t) for t in batch]), strict=True):
            # Half by temptation, half at random, so that the easy mass stays represented.
            score = temptation(report) if isinstance(report, Report) else 0.0
            weighed.append((max(score, 0.4 * rng.random()), text))
    kept = [text for _, text in sorted(weighed, reverse=True)[: args.keep]]
    for path, texts in ((args.out, kept), (args.out.with_suffix(".held-out.jsonl"), held)):
        lines = (json.dumps({"text": t}, ensure_ascii=False) for t in texts)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        print(f"{path}: {len(texts)} passages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
