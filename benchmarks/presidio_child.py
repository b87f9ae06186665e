"""Reads texts with Presidio, once for every line on standard input; run by benchmarks/readers.py in Presidio's venv.

Imports nothing of this project. Every rule becomes a PatternRecognizer of its terms and patterns; language work is a
blank Chinese pipeline of spaCy, which needs no model.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import spacy
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine


class BlankEngine(SpacyNlpEngine):
    """Tokens of single characters, no entities."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "zh", "model_name": "blank"}])
        self.nlp = {"zh": spacy.blank("zh")}

    def load(self) -> None:
        """Nothing to download."""


def recogniser(rule: dict[str, Any]) -> PatternRecognizer:
    # Not as deny list: that wants blanks around its words, which Chinese does not have.
    terms = ["|".join(map(re.escape, rule["terms"]))] if rule["terms"] else []
    patterns = [Pattern(f"{rule['id']}.{i}", p, 0.8) for i, p in enumerate([*terms, *rule["patterns"]])]
    return PatternRecognizer(
        supported_entity=rule["label"].upper(),
        name=rule["id"],
        patterns=patterns,
        supported_language="zh",
    )


def main() -> None:
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    registry = RecognizerRegistry(
        recognizers=[recogniser(r) for r in task["rules"] if r["patterns"] or r["terms"]], supported_languages=["zh"]
    )
    engine = AnalyzerEngine(registry=registry, nlp_engine=BlankEngine(), supported_languages=["zh"])
    for _ in sys.stdin:
        found = sum(len(engine.analyze(text, language="zh")) for text in task["texts"])
        sys.stdout.write(f"{found}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
