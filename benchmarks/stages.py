"""Where the product's time goes: processor seconds of every stage over the same documents."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date

from benchmarks.measure import Way
from benchmarks.readers import bare_runtime
from nlp_compliance.checker import Checker
from nlp_compliance.detect.ensemble import EnsembleDetector
from nlp_compliance.records import Document
from nlp_compliance.text.parse import parse

MODEL = "model alone"
WHOLE = "whole product"


def stages(checker: Checker, documents: Sequence[Document], repeat: int) -> dict[str, float]:
    """Least processor seconds of each stage over `repeat` rounds; processor time, so that neighbours matter little.

    MODEL is what ONNX Runtime alone takes for the same windows, WHOLE is `check_many`; the others make up the product.
    """
    lexical, joined = checker.detectors
    if not isinstance(joined, EnsembleDetector):
        raise SystemExit("the stages are those of the default detectors: lexical, model, linear")
    scorer = joined.encoder.scorer
    parsed = [parse(d) for d in documents]
    scores = scorer.score(parsed)
    hits = [a + b for a, b in zip(lexical.detect(parsed), joined.detect(parsed), strict=True)]
    today = date.today()
    ways: dict[str, Way] = {
        MODEL: bare_runtime(scorer, documents),  # type: ignore[arg-type]
        WHOLE: lambda: checker.check_many(documents),
        "normal text and sentences": lambda: [parse(d) for d in documents],
        "rules": lambda: lexical.detect(parsed),
        "encoder": lambda: scorer.score(parsed),
        "encoder's hits": lambda: [joined.encoder._hits(p, s) for p, s in zip(parsed, scores, strict=True)],
        "linear model": lambda: joined.linear.detect(parsed),
        "verdicts": lambda: [checker._report(p, h, today) for p, h in zip(parsed, hits, strict=True)],
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(repeat):
        for name, way in ways.items():
            began = time.thread_time()
            way()
            least[name] = min(least[name], time.thread_time() - began)
    return least
