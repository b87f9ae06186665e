"""Measure the product on a split, by one command, and write `docs/evaluation.md` with its plots.

Systems are compared on the same documents through the same checker: the rules alone, the linear model alone, the
encoder alone, and the joins. The test split is only ever read here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.records import VIOLATION_LABELS, Document, Report
from nlp_compliance.settings import Settings
from training.corpus import ROOT, load_corpus, series_of, split_of
from training.dataset import parsed, read_negatives
from training.judged import Figures, Judged, disguise_rows, figures, genre_rows, judge, label_rows, series_rows
from training.metrics import indicator
from training.plots import label_plot, reliability_plot

FIGURES = ROOT / "docs" / "figures"
SYSTEMS: dict[str, tuple[str, ...]] = {
    "rules": ("lexical",),
    "linear": ("linear",),
    "rules+linear": ("lexical", "linear"),
    "encoder": ("model",),
    "rules+encoder": ("lexical", "model"),
    "linear+encoder": ("linear", "model"),
    "rules+linear+encoder": ("lexical", "linear", "model"),
}


def alarms_per_10000_sentences(checker: Checker, texts: Sequence[str]) -> tuple[int, int, float]:
    """(documents with an alarm, sentences, violation findings per 10,000 sentences) on label-free text."""
    sentences = sum(len(parsed(t).sentences) for t in texts)
    reports = [r for r in checker.check_many([Document("", t) for t in texts]) if isinstance(r, Report)]
    alarms = [
        sum(f.verdict == "violation" and not f.review and f.start is not None for f in r.findings) for r in reports
    ]
    return sum(bool(a) for a in alarms), sentences, 1e4 * sum(alarms) / max(1, sentences)


def alarm_line(checker: Checker, path: Path) -> str:
    """One sentence on the false alarms over the label-free passages of `path`."""
    texts = read_negatives(path)
    with_alarm, sentences, rate = alarms_per_10000_sentences(checker, texts)
    return (
        f"{with_alarm} of {len(texts)} passages raise an alarm; {rate:.1f} findings per 10,000 sentences "
        f"({sentences} sentences)."
    )


def shipped_system(names: Sequence[str]) -> str:
    """The system that runs with default settings, if it was measured, else the last one."""
    default = Settings().detectors
    has_model = (Settings().bundle / "manifest.json").is_file()
    wanted = default if has_model else tuple("linear" if d == "model" else d for d in default if d != "linear")
    return next((n for n in names if set(SYSTEMS[n]) == set(wanted)), names[-1])


def checker_for(detectors: tuple[str, ...]) -> Checker:
    return build_checker(Settings(detectors=detectors))


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3f}–{ends[1]:.3f}"


def system_table(results: dict[str, Figures]) -> list[str]:
    """Markdown rows, one system a column."""
    names = list(results)
    rows = [
        ("macro F1, 3 categories", lambda f: _cell(f.categories)),
        ("macro F1, 12 violation labels", lambda f: _cell(f.violations)),
        ("… 95% interval", lambda f: _interval(f.violations_interval)),
        ("macro F1, missing_*", lambda f: _cell(f.missing)),
        ("F1, promotional", lambda f: _cell(f.promotional)),
        ("character F1, violation spans", lambda f: _cell(f.span_characters)),
        ("character F1, other spans", lambda f: _cell(f.tag_characters)),
        ("false alarms, promotion without violation", lambda f: _cell(f.false_alarms_compliant)),
        ("false alarms, not promotional", lambda f: _cell(f.false_alarms_other)),
        ("contrast groups fully right", lambda f: _cell(f.contrast and f.contrast.share)),
        ("… groups", lambda f: f"{f.contrast.right} of {f.contrast.groups}" if f.contrast else "–"),
        ("… 95% interval", lambda f: _interval(f.contrast.interval) if f.contrast else "–"),
        ("recall, plain twin", lambda f: _cell(f.disguise_plain)),
        ("recall, disguised twin", lambda f: _cell(f.disguise_changed)),
        ("expected calibration error", lambda f: _cell(f.calibration_error)),
    ]
    head = [f"| figure | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    return head + [f"| {title} | {' | '.join(cell(results[n]) for n in names)} |" for title, cell in rows]


def label_table(judged: Sequence[Judged]) -> list[str]:
    lines = ["| label | support | precision | recall | F1 | 95% interval |", "|---|--:|--:|--:|--:|--:|"]
    for label, c, (low, high) in label_rows(judged):
        lines.append(
            f"| {label} | {c.support} | {c.precision:.3f} | {c.recall:.3f} | {c.f1:.3f} | {low:.2f}–{high:.2f} |"
        )
    return lines


def genre_table(judged: Sequence[Judged]) -> list[str]:
    lines = ["| genre | documents | violation labels exactly right | without violation | of these alarmed |"]
    lines.append("|---|--:|--:|--:|--:|")
    return lines + [
        f"| {r.genre} | {r.documents} | {r.right / r.documents:.2f} | {r.clean} | {r.alarmed} |"
        for r in genre_rows(judged)
    ]


def series_table(judged: Sequence[Judged]) -> list[str]:
    lines = [
        "| series | documents | precision | recall | F1 | false alarms, promotion without violation | contrast groups right |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in series_rows(judged):
        contrast = f"{r.contrast.right} of {r.contrast.groups}" if r.contrast else "–"
        c = r.counts
        lines.append(
            f"| {r.series} | {r.documents} | {c.precision:.3f} | {c.recall:.3f} | {c.f1:.3f} | {_cell(r.alarms)} | {contrast} |"
        )
    return lines


def disguise_table(judged: Sequence[Judged]) -> list[str]:
    lines = ["| disguise | documents | recall, plain twin | recall, disguised |", "|---|--:|--:|--:|"]
    return lines + [f"| {kind} | {n} | {_cell(a)} | {_cell(b)} |" for kind, n, a, b in disguise_rows(judged)]


def speed_table(seconds: dict[str, float], characters: int) -> list[str]:
    """What each system cost on this machine in this run, beside the fastest."""
    fastest = min(seconds.values())
    lines = ["| system | characters a second | times the fastest |", "|---|--:|--:|"]
    return lines + [f"| {n} | {characters / s:,.0f} | {s / fastest:.1f} |" for n, s in seconds.items()]


def write_report(target: Path, split: str, results: dict[str, list[Judged]], shipped: str, extra: list[str]) -> None:
    """The Markdown page; every number in it comes from this run."""
    judged = results[shipped]
    documents = [j.example for j in judged]
    lines = [
        "# Evaluation",
        "",
        f"Made by `make evaluate`. Split: {split}, {len(documents)} documents, "
        f"{sum(e.promotional for e in documents)} promotional, in {len({e.group for e in documents})} groups. "
        "Intervals are bootstrapped over groups. A finding marked 建议人工复核 counts as not found.",
        f"Shipped: {shipped}, {judged[0].report.model.name} {judged[0].report.model.version}, "
        f"rulebook {judged[0].report.model.rulebook}.",
        "",
        "## Systems",
        "",
        *system_table({name: figures(j) for name, j in results.items()}),
        "",
        f"## Labels ({shipped})",
        "",
        *label_table(judged),
        "",
        f"## Who wrote the documents ({shipped})",
        "",
        "Violation labels pooled. Which series is how blind: [the corpus card](../data/README.md#how-it-was-made).",
        "",
        *series_table(judged),
        "",
        f"## Disguises ({shipped})",
        "",
        *disguise_table(judged),
        "",
        f"## Genres ({shipped})",
        "",
        *genre_table(judged),
        *extra,
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(judged: Sequence[Judged], folder: Path) -> list[str]:
    """Reliability and F1 plots in `folder`; the Markdown lines that show them."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = np.array([[j.report.scores[label] for label in VIOLATION_LABELS] for j in judged]).reshape(-1)
    truth = indicator([j.truth for j in judged], VIOLATION_LABELS).reshape(-1)
    reliability_plot(scores, truth, folder / "reliability.png")
    label_plot(label_rows(judged), folder / "labels.png")
    return [
        "",
        "## Plots",
        "",
        "![reliability of the stated probabilities](figures/reliability.png)",
        "![F1 of every label with its interval](figures/labels.png)",
        *(["![learning curve](figures/learning-curve.png)"] if (folder / "learning-curve.png").is_file() else []),
        "",
        "The encoder without pretraining, its learning curve and what else was tried: [trials](trials.md), on validation.",
    ]


def errors(judged: Sequence[Judged]) -> list[dict[str, object]]:
    """Every document with a wrong violation label, for reading."""
    out = []
    for j in judged:
        extra, lacking = sorted(j.found - j.truth), sorted(j.truth - j.found)
        if extra or lacking:
            out.append(
                {
                    "id": j.example.id,
                    "genre": j.example.genre,
                    "extra": extra,
                    "lacking": lacking,
                    "text": j.example.text[:400],
                }
            )
    return out


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--series", nargs="+", help="only what these writers wrote, printed; default: all")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, help="default: all that can be built")
    parser.add_argument("--out", type=Path, help="Markdown page; default docs/evaluation.md for the test split")
    parser.add_argument("--alarms", type=Path, help="JSONL of label-free passages for the false-alarm rate")
    parser.add_argument("--shipped", choices=SYSTEMS, help="the system of the detailed tables; default: the product's")
    parser.add_argument("--errors", type=Path, help="write wrong documents of the shipped system as JSONL")
    args = parser.parse_args(argv)
    examples = [e for e in load_corpus() if split_of(e) == args.split]
    known = sorted({series_of(e) for e in examples})
    if unknown := sorted(set(args.series or ()) - set(known)):
        parser.error(f"--series: no {', '.join(unknown)} in {args.split}; there are {', '.join(known)}")
    examples = [e for e in examples if not args.series or series_of(e) in args.series]
    has_model = (Settings().bundle / "manifest.json").is_file()
    names = args.systems or [n for n in SYSTEMS if has_model or "model" not in SYSTEMS[n]]
    results, seconds = {}, {}
    for name in names:
        checker = checker_for(SYSTEMS[name])
        checker.check(Document("warm", examples[0].text))
        started = time.perf_counter()
        results[name] = judge(checker, examples)
        seconds[name] = time.perf_counter() - started
    shipped = args.shipped or shipped_system(names)
    extra = ["", "## Speed in this run", "", *speed_table(seconds, sum(len(e.text) for e in examples))]
    if args.alarms:
        extra += ["", "## Label-free public text", "", alarm_line(checker_for(SYSTEMS[shipped]), args.alarms)]
    whole = args.split == "test" and not args.series
    target = args.out or (ROOT / "docs" / "evaluation.md" if whole else Path("/dev/stdout"))
    if whole and not args.out:
        extra += draw(results[shipped], FIGURES)
    write_report(target, args.split, results, shipped, extra)
    if args.errors:
        rows = (json.dumps(row, ensure_ascii=False) for row in errors(results[shipped]))
        args.errors.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    print(f"{target}: {len(examples)} documents, {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
