"""What helps the reader, tried one change at a time: `python -m training.trials` trains, measures and writes `docs/trials.md`.

Every trial fine-tunes for two epochs, on the same eighth of the training groups or on another share, unless it says otherwise; one
is what `make train` runs. It is exported like the bundle that ships. All are measured on the validation split by the encoder alone; their
thresholds were chosen there too, for all in the same way. The test split is not touched: a trial is there to choose by.
A trial whose folder exists is not trained again, so the command can be stopped and called again, or called several times
side by side with `--train-only`; with `--only` the figures of the others stay as they stand in `training/trials.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed

from nlp_compliance.checker import build_checker
from nlp_compliance.records import VIOLATION_LABELS
from nlp_compliance.settings import Settings
from training import deepen, export, finetune
from training.corpus import ROOT, Example, load_split, share_of
from training.judged import Figures, figures, judge, true_labels
from training.metrics import gap_interval, indicator
from training.plots import curve_plot

RESULTS = ROOT / "training" / "trials.json"
PAGE = ROOT / "docs" / "trials.md"
FIGURE = ROOT / "docs" / "figures" / "learning-curve-encoder.png"
COMMON = (
    *("--epochs", "2", "--rate", "3e-4", "--muon", "6e-4", "--blank", "0.08", "--augment", "0.4"),
    *("--names", "0.4", "--crowds", "0.08", "--batch-tokens", "4096"),
)
# The options of `make train`, which a test holds them to.
RECIPE = (
    *("--rate", "4e-4", "--muon", "8e-4", "--blank", "0.08", "--augment", "0.45", "--crowds", "0.1"),
    *("--batch-tokens", "6144", "--epochs", "4"),
)
LONGER = (
    *("--rate", "4e-4", "--muon", "8e-4", "--augment", "0.45"),
    *("--batch-tokens", "10240", "--epochs", "9"),
)
F1 = "macro F1, 12 violation labels"
PLAIN, SIXTEENTH, DEEPER = "plain", "sixteenth", "deeper"
MAKE_TRAIN = "make-train"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: `options` beside COMMON, `share` of the training groups, `teachers` among the earlier trials.

    `beside` is the trial on the same texts that it is compared with; none for those that the others are compared with.
    """

    title: str
    options: tuple[str, ...] = ()
    share: float = 0.125
    teachers: tuple[str, ...] = ()
    beside: str = ""


TRIALS: dict[str, Trial] = {
    PLAIN: Trial("plain, an eighth of the groups"),
    "nine-epochs": Trial(f"nine epochs, an eighth (`{' '.join(LONGER)}`)", LONGER, beside=PLAIN),
    "without-pretraining": Trial(
        "random weights in place of the encoder, no word table", ("--without-pretraining",), beside=PLAIN
    ),
    "balanced": Trial("label-balanced sampling (`--balance`)", ("--balance",), beside=PLAIN),
    "ensemble-taught": Trial(
        "taught by the plain and the balanced one, the mean of their probabilities (`--teacher`)",
        teachers=(PLAIN, "balanced"),
        beside=PLAIN,
    ),
    SIXTEENTH: Trial("plain, a sixteenth of the groups", share=0.0625),
    DEEPER: Trial("twice the layers (`training.deepen`), a sixteenth", share=0.0625, beside=SIXTEENTH),
    "deeper-taught": Trial(
        "taught by that deeper encoder, a sixteenth", share=0.0625, teachers=(DEEPER,), beside=SIXTEENTH
    ),
    "quarter": Trial("plain, a quarter of the groups", share=0.25),
    "half": Trial("plain, half of the groups", share=0.5),
    MAKE_TRAIN: Trial(f"`make train`, which ships: all groups, four epochs (`{' '.join(RECIPE)}`)", RECIPE, share=1.0),
}
CURVE = (SIXTEENTH, PLAIN, "quarter", "half")


def train(name: str, base: Path, runs: Path, threads: int) -> None:
    """Fine-tune and export one trial into `runs/name` (the run) and `runs/name/bundle`; skips what is there."""
    trial = TRIALS[name]
    run = runs / name
    if not run.exists():
        # Under another name until it is whole; a run that was stopped goes on from there.
        part = run.with_name(run.name + ".part")
        options = [*COMMON, *trial.options, "--fraction", str(trial.share), "--threads", str(threads)]
        if trial.teachers:
            options += ["--teacher", *(str(runs / t) for t in trial.teachers)]
        if name == DEEPER:
            deepen.main(["--base", str(base), "--out", str(runs / "deeper-encoder")])
            base = runs / "deeper-encoder"
        finetune.main(["--base", str(base), "--out", str(part), *options])
        part.rename(run)
    if not (run / "bundle" / "manifest.json").is_file():
        export.write_bundle(run, run / "bundle", joined=False, threads=threads)


def measure(names: Sequence[str], runs: Path, held: Sequence[Example], jobs: int) -> dict[str, dict[str, Any]]:
    """Figures of every trial by the encoder alone, and how its F1 differs from that of the trial it stands beside.

    `jobs` bundles are measured at once.
    """
    examples = load_split("train")
    groups = [e.group for e in held]
    truth = indicator([true_labels(e) for e in held], VIOLATION_LABELS)
    results = Parallel(n_jobs=jobs)(delayed(_measured)(runs / name / "bundle", held) for name in names)
    measured = dict(zip(names, results, strict=True))
    out: dict[str, dict[str, Any]] = {}
    for name, (shown, found) in measured.items():
        trial = TRIALS[name]
        out[name] = {
            "documents": len(share_of(examples, trial.share, finetune.make_parser().get_default("seed"))),
            "figures": asdict(shown),
        }
        if trial.beside:
            plain, base = measured[trial.beside]
            out[name]["gap"] = [shown.violations - plain.violations, *gap_interval(base, found, truth, groups)]
    return out


def _measured(bundle: Path, held: Sequence[Example]) -> tuple[Figures, npt.NDArray[np.bool_]]:
    """What the encoder of a bundle alone reaches, and its violation labels, shape (texts, 12)."""
    judged = judge(build_checker(Settings(detectors=("model",), bundle=bundle)), held)
    return figures(judged), indicator([j.found for j in judged], VIOLATION_LABELS)


def trial_table(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Markdown rows, one trial each, in the order of TRIALS."""
    lines = [
        "| trial | documents | F1, 12 labels | beside the same without, 95% | contrast groups right | characters of spans | "
        "false alarms, promotion without violation | recall, disguised |",
        "|---|--:|--:|---|--:|--:|--:|--:|",
    ]
    for name, trial in TRIALS.items():
        if name not in results:
            continue
        f, contrast = results[name]["figures"], results[name]["figures"]["contrast"]
        gap = results[name].get("gap")
        beside = "{:+.3f} ({:+.3f} to {:+.3f})".format(*gap) if gap else "–"
        lines.append(
            f"| {trial.title} | {results[name]['documents']:,} | {f['violations']:.3f} | {beside} | "
            f"{contrast['right']} of {contrast['groups']} | {f['span_characters']:.3f} | "
            f"{f['false_alarms_compliant']:.3f} | {f['disguise_changed']:.3f} |"
        )
    return lines


def write_page(results: Mapping[str, Mapping[str, Any]]) -> None:
    """`docs/trials.md` and the learning curve, from the figures of RESULTS alone."""
    points = {
        f"{title}, {run}": [(results[n]["documents"], value(results[n]["figures"])) for n in names if n in results]
        for title, value in (
            (F1, lambda f: f["violations"]),
            ("contrast groups fully right", lambda f: f["contrast"]["right"] / f["contrast"]["groups"]),
        )
        for run, names in (("two epochs", CURVE), ("make train", (MAKE_TRAIN,)))
    }
    curve_plot(points, FIGURE, x="training documents", y="encoder alone (validation)")
    lines = [
        "# Trials",
        "",
        "Made by `python -m training.trials`: every row is one fine-tuning from `training/encoder` for two epochs on an",
        f"eighth of the training groups unless it says otherwise, with `{' '.join(COMMON)}`, without",
        "label-free passages. The encoder alone, int8, on the validation split; its thresholds were chosen there too, for all",
        "in the same way. *Beside the same without*: F1 less that of the plain run on the same texts, with its 95% interval,",
        "resampling groups in pairs; what another order of the texts would change by itself is not in it. What ships",
        "is the last run, there joined with the linear model ([evaluation](evaluation.md)).",
        "",
        *trial_table(results),
        "",
        "![learning curve of the encoder](figures/learning-curve-encoder.png)",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.trials", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", nargs="+", choices=TRIALS, default=list(TRIALS), help="default: all; of the others the figures stay"
    )
    parser.add_argument("--base", type=Path, default=finetune.ENCODER, help="folder of an encoder")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "trials", help="folder of their runs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="bundles measured at once, about 1 GB each")
    parser.add_argument("--train-only", action="store_true", help="measure nothing, for several calls side by side")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    for name in args.only:
        train(name, args.base, args.runs, args.threads)
    if not args.train_only:
        beside = {TRIALS[n].beside for n in args.only} - {"", *args.only}
        if lacking := {n for n in beside if not (args.runs / n / "bundle" / "manifest.json").is_file()}:
            parser.error(f"{', '.join(sorted(lacking))}: missing in {args.runs}; others are measured beside it")
        measured = measure([*args.only, *sorted(beside)], args.runs, load_split("validation"), args.jobs)
        results = (json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}) | measured
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        write_page(results)
        print(f"{PAGE}: {len(measured)} of {len(results)} measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
