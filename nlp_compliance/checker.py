"""The way of one document: parse, detect, resolve, report. Synchronous; the web edge brings its own queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.detect.linear import LinearDetector
from nlp_compliance.detect.resolve import Thresholds, resolve
from nlp_compliance.errors import BundleError, EmptyTextError, NlpComplianceError, TextTooLongError
from nlp_compliance.records import BEIJING, Document, Hit, ModelVersion, ParsedDocument, Report, is_visible
from nlp_compliance.rulebook import Rulebook, load_rulebook
from nlp_compliance.settings import Settings
from nlp_compliance.text.parse import parse


class Detector(Protocol):
    """Anything that says something about documents; always a batch, always in order."""

    def detect(self, documents: Sequence[ParsedDocument]) -> list[list[Hit]]: ...


class Checker:
    """Judges documents with a fixed set of detectors. Same text, rulebook and model give the same report."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        rulebook: Rulebook,
        *,
        thresholds: Thresholds | None = None,
        model: tuple[str, str] = ("rules", "1"),
        max_text_chars: int = 200_000,
    ) -> None:
        self.detectors = tuple(detectors)
        self.rulebook = rulebook
        self.thresholds = thresholds or Thresholds()
        self.version = ModelVersion(*model, rulebook.version)
        self.max_text_chars = max_text_chars

    def check(self, document: Document, *, as_of: date | None = None) -> Report:
        """The report of one document.

        `as_of` decides which law was in force; without it the day of publication, else today. Raises EmptyTextError,
        TextTooLongError or TextEncodingError.
        """
        (result,) = self.check_many([document], as_of=as_of)
        if isinstance(result, NlpComplianceError):
            raise result
        return result

    def check_many(
        self, documents: Sequence[Document], *, as_of: date | None = None
    ) -> list[Report | NlpComplianceError]:
        """One report or error for every document, in order; a bad document fails alone."""
        outcomes = [self._parsed(d) for d in documents]
        good = [o for o in outcomes if isinstance(o, ParsedDocument)]
        hits: list[list[Hit]] = [[] for _ in good]
        for detector in self.detectors:
            for own, found in zip(hits, detector.detect(good), strict=True):
                own += found
        reports = iter([self._report(p, h, as_of) for p, h in zip(good, hits, strict=True)])
        return [next(reports) if isinstance(o, ParsedDocument) else o for o in outcomes]

    def _parsed(self, document: Document) -> ParsedDocument | NlpComplianceError:
        try:
            if not document.text.strip():
                raise EmptyTextError("the text is empty; send the text as it was or will be published")
            if len(document.text) > self.max_text_chars:
                raise TextTooLongError(
                    f"the text has {len(document.text)} characters; allowed: {self.max_text_chars} (max_text_chars); "
                    "split it, or raise the setting"
                )
            parsed = parse(document)
            if not is_visible(parsed.normal):
                raise EmptyTextError("the text has no visible character; send the text as it was or will be published")
            return parsed
        except NlpComplianceError as error:
            return error

    def _report(self, parsed: ParsedDocument, hits: Sequence[Hit], as_of: date | None) -> Report:
        document = parsed.document
        day = as_of or document.source.published or datetime.now(BEIJING).date()
        resolved = resolve(parsed, hits, self.rulebook, self.thresholds, day)
        return Report(
            id=document.id,
            promotional=resolved.promotional,
            risk=resolved.risk,
            findings=resolved.findings,
            disclosures=resolved.disclosures,
            duties=resolved.duties,
            scores=resolved.scores,
            model=self.version,
            as_of=day,
            coverage=document.coverage,
        )


def build_checker(settings: Settings) -> Checker:
    """The checker that the settings describe. Raises RulebookError or BundleError rather than start half loaded."""
    rulebook = load_rulebook(settings.rules_dirs)
    detectors: list[Detector] = []
    thresholds = Thresholds(review_band=settings.review_band)
    model = ("rules", "1")
    if "lexical" in settings.detectors:
        detectors.append(LexicalDetector(rulebook, advisory=settings.advisory))
    trained = _trained(settings)
    if trained is not None:
        detector, by_label, model = trained
        detectors.append(detector)
        thresholds = Thresholds(by_label, review_band=settings.review_band)
    if not detectors:
        raise BundleError("no detector is left; set detectors to lexical, model or both")
    return Checker(detectors, rulebook, thresholds=thresholds, model=model, max_text_chars=settings.max_text_chars)


_Trained = tuple[Detector, dict[str, float], tuple[str, str]]


def _trained(settings: Settings) -> _Trained | None:
    """The trained detector with its thresholds and version; the linear model stands in where no bundle is present."""
    wanted = {"model", "linear"} & set(settings.detectors)
    has_bundle = (settings.bundle / "manifest.json").is_file()
    if not wanted:
        return None
    if "model" in wanted and not has_bundle and settings.bundle != Settings().bundle:
        raise BundleError(f"{settings.bundle}: no manifest.json lies there; check NLP_COMPLIANCE_BUNDLE")
    if wanted == {"linear"} or not has_bundle:
        return _linear(settings)
    return _encoder(settings, with_linear="linear" in wanted)


def _encoder(settings: Settings, *, with_linear: bool) -> _Trained:
    # Imported here because ONNX Runtime is slow to load and not every command needs it.
    from nlp_compliance.detect.ensemble import EnsembleDetector
    from nlp_compliance.detect.neural import NeuralDetector
    from nlp_compliance.inference.bundle import open_bundle
    from nlp_compliance.inference.runtime import Encoder

    bundle = open_bundle(settings.bundle)
    encoder = NeuralDetector(Encoder(bundle))
    if not with_linear or bundle.blend is None:
        return encoder, dict(bundle.thresholds), (bundle.name, bundle.version)
    linear, _, _ = _linear(settings)
    joined = EnsembleDetector(encoder, linear, bundle.blend)
    return joined, dict(bundle.blend.thresholds), (bundle.name, f"{bundle.version}+{bundle.blend.linear_version}")


def _linear(settings: Settings) -> tuple[LinearDetector, dict[str, float], tuple[str, str]]:
    from nlp_compliance.inference.linear import load_linear
    from nlp_compliance.text.words import words

    model = load_linear(settings.linear_bundle)
    return LinearDetector(model, words), model.thresholds, (model.name, model.version)
