"""Ways of reading the mix in one process: the limit, the product, and what people would use instead."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Timing, Way, in_turn
from benchmarks.texts import mixed
from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.detect.ensemble import EnsembleDetector
from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.inference.bundle import open_bundle
from nlp_compliance.inference.runtime import Encoder
from nlp_compliance.records import SPAN_LABELS, Document
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.settings import Settings
from nlp_compliance.text.parse import parse
from training.corpus import load_split

LIMIT = "limit: ONNX Runtime alone, the same windows"
PRODUCT = "product: `Checker.check_many`"


def throughput(
    checker: Checker, settings: Settings, share: float, repeat: int, run: Path, presidio: Path
) -> list[Timing]:
    """Every way over the same documents, LIMIT and PRODUCT first; ways whose packages are missing are left out."""
    documents = mixed(share)
    rulebook = checker.rulebook
    rules = Checker([LexicalDetector(rulebook)], rulebook)
    linear = build_checker(settings.replace(detectors=("lexical", "linear")))
    ways: dict[str, Way] = {
        LIMIT: bare_runtime(Encoder(open_bundle(settings.bundle)), documents),
        PRODUCT: lambda: checker.check_many(documents),
        "product, one text a call": lambda: [checker.check(d) for d in documents],
        "product without encoder (rules and linear model)": lambda: linear.check_many(documents),
        "rules alone": lambda: rules.check_many(documents),
        "text pipeline alone": lambda: [parse(d) for d in documents],
    }
    with ExitStack() as held:
        if importlib.util.find_spec("ahocorasick"):
            ways["keyword filter: pyahocorasick, the rulebook's terms"] = keyword_filter(documents, rulebook)
        if (run / "model.safetensors").is_file() and importlib.util.find_spec("transformers"):
            try:
                ways["torch eager, same weights and windows"] = torch_eager(documents, run)
            except RuntimeError as error:
                # The run of an earlier network: its weights do not fit the one of today.
                print(f"left out, torch eager on {run}: {str(error).splitlines()[0]}", file=sys.stderr)
            ways["`transformers` pipeline, same encoder"] = transformers_pipeline(documents, run)
        if presidio.is_file():
            ways["Presidio, the rulebook's terms and patterns"] = held.enter_context(
                presidio_analyser(documents, rulebook, presidio)
            )
        characters = sum(len(d.text) for d in documents)
        return in_turn(ways, characters=characters, documents=len(documents), repeat=repeat)


def cleared(checker: Checker, share: float, repeat: int) -> list[Timing]:
    """The product over validation texts that sell nothing, with the encoder asked about all of them and as it is."""
    examples = [e for e in load_split("validation") if not e.promotional]
    documents = [Document(e.id, e.text) for e in examples[: max(1, round(len(examples) * share))]]
    lexical, joined = checker.detectors
    assert isinstance(joined, EnsembleDetector)
    asked = EnsembleDetector(joined.encoder, joined.linear, replace(joined.blend, clear=0.0))
    everything = Checker([lexical, asked], checker.rulebook, thresholds=checker.thresholds)
    ways: dict[str, Way] = {
        "the encoder reads all": lambda: everything.check_many(documents),
        PRODUCT: lambda: checker.check_many(documents),
    }
    return in_turn(ways, characters=sum(len(d.text) for d in documents), documents=len(documents), repeat=repeat)


def bare_runtime(encoder: Encoder, documents: Sequence[Document]) -> Way:
    """The model over the windows that the product makes, everything else done before and nothing after."""
    feeds = [ids for d in documents for _, ids in encoder.feeds(parse(d))]

    def run() -> None:
        for ids in feeds:
            encoder.run(ids)

    return run


def keyword_filter(documents: Sequence[Document], rulebook: Rulebook) -> Way:
    """An automaton over the rulebook's terms on raw text: no normal text, no patterns, no guards, no model."""
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for rule in rulebook.rules:
        for term in rule.terms:
            automaton.add_word(term, rule.label)
    automaton.make_automaton()
    return lambda: [list(automaton.iter(d.text)) for d in documents]


def torch_eager(documents: Sequence[Document], run: Path) -> Way:
    """The trained network in torch with float32 weights, the product's windows one after the other."""
    import torch

    from training.score import TorchScorer

    torch.set_num_threads(1)
    scorer = TorchScorer(run)
    parsed = [parse(d) for d in documents]
    return lambda: scorer.score(parsed)


def transformers_pipeline(documents: Sequence[Document], run: Path) -> Way:
    """What people would use: the token classification pipeline over the same encoder, batches of 8, its own windows."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(run / "tokenizer.json"), model_max_length=256, **marks)
    model = AutoModelForTokenClassification.from_config(AutoConfig.from_pretrained(run, num_labels=len(SPAN_LABELS)))
    own = {k.removeprefix("encoder."): v.float() for k, v in load_file(run / "model.safetensors").items()}
    model.base_model.load_state_dict(own, strict=False)
    reader = pipeline(
        "token-classification",
        model=model.eval(),
        tokenizer=tokenizer,
        stride=64,
        aggregation_strategy="simple",
        device="cpu",
    )
    texts = [d.text for d in documents]
    return lambda: reader(texts, batch_size=8)


@contextmanager
def presidio_analyser(documents: Sequence[Document], rulebook: Rulebook, python: Path) -> Iterator[Way]:
    """Presidio in a process of its own (`python` is the interpreter of its environment), which answers line for line."""
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder) / "task.json"
        rules = [{"id": r.id, "label": r.label, "terms": r.terms, "patterns": r.patterns} for r in rulebook.rules]
        task.write_text(json.dumps({"texts": [d.text for d in documents], "rules": rules}), "utf-8")
        child = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("presidio_child.py")), str(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None and child.stdout is not None
        writer, reader = child.stdin, child.stdout

        def read_all() -> None:
            writer.write("read\n")
            writer.flush()
            if not reader.readline():
                raise SystemExit("presidio_child.py ended early; see its message above")

        try:
            yield read_all
        finally:
            writer.close()
            child.wait(timeout=60)
