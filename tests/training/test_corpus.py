"""The corpus source is sound: offsets, labels, the `missing` rule, groups, names; the builder says what is wrong."""

import json
from pathlib import Path

import pytest

from nlp_compliance.records import SPAN_LABELS, missing_labels
from training.corpus import (
    CORPUS,
    SPLITS,
    CorpusError,
    build,
    known_names,
    load_corpus,
    load_sentences,
    parse_marked,
    read_documents,
    split_of,
)


@pytest.fixture(scope="module")
def corpus():
    return load_corpus()


def test_every_document_is_sound(corpus):
    for example in corpus:
        for span in example.spans:
            assert 0 <= span.start < span.end <= len(example.text)
            assert span.label in SPAN_LABELS
            run = example.text[span.start : span.end]
            assert run == run.strip() and "[[" not in run
        assert example.missing == missing_labels(example.promotional, {s.label for s in example.spans})
        assert example.promotional or not example.spans


def test_no_group_stands_in_two_splits(corpus):
    splits: dict[str, set[str]] = {}
    for example in corpus:
        splits.setdefault(example.group, set()).add(split_of(example))
    assert all(len(s) == 1 for s in splits.values())


def test_the_splits_are_written_apart_and_all_there(corpus):
    assert {split_of(e) for e in corpus} == set(SPLITS)
    assert all((split_of(e) == "test") == (e.source == "test") for e in corpus)
    assert all(split_of(e) == "validation" for e in corpus if e.source == "validation")


def test_no_real_plan_or_insurer_is_named(corpus):
    names = known_names()
    assert not [(e.id, n) for e in corpus for n in names if n in e.text]


def test_the_bank_is_sound():
    sentences = load_sentences()
    assert len(sentences) > 7000
    assert all(s.spans or not s.positive for s in sentences)


def test_build_writes_what_the_source_says(tmp_path, corpus):
    (tmp_path / "src").symlink_to(CORPUS / "src")
    written = build(tmp_path)
    assert sum(written.values()) == len(corpus)
    rows = [
        json.loads(line) for split in SPLITS for line in (tmp_path / f"{split}.jsonl").read_text("utf-8").splitlines()
    ]
    assert {r["id"]: r["text"] for r in rows} == {e.id: e.text for e in corpus}


def test_the_built_files_are_current(tmp_path):
    (tmp_path / "src").symlink_to(CORPUS / "src")
    build(tmp_path)
    for split in SPLITS:
        assert (CORPUS / f"{split}.jsonl").read_bytes() == (tmp_path / f"{split}.jsonl").read_bytes(), (
            "run: make corpus"
        )


def test_the_built_files_open_with_datasets(tmp_path):
    from datasets import load_dataset

    files = {s: str(CORPUS / f"{s}.jsonl") for s in SPLITS}
    loaded = load_dataset("json", data_files=files, cache_dir=str(tmp_path))
    row = loaded["train"][0]
    assert set(row) >= {"id", "text", "genre", "promotional", "spans", "missing", "group", "source"}


@pytest.mark.parametrize(
    ("marked", "text", "spans"),
    [
        ("买[[pointer|详见条款]]。", "买详见条款。", [(1, 5, "pointer")]),
        (
            "[[benefit_claim|报[[disclosed_ratio|七成]]]]",
            "报七成",
            [(0, 3, "benefit_claim"), (1, 3, "disclosed_ratio")],
        ),
        ("没有标记", "没有标记", []),
    ],
)
def test_marks(marked, text, spans):
    plain, found = parse_marked(marked, where="x")
    assert plain == text and [(s.start, s.end, s.label) for s in found] == spans


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("[[nothing|a]]", "unknown label 'nothing'"),
        ("[[pointer|a", "never closed"),
        ("a]]", "without"),
        ("[[pointer|]]", "empty span"),
        ("[[pointer| a]]", "white space"),
        ("[[a]]", "without"),
    ],
)
def test_wrong_marks(marked, said):
    with pytest.raises(CorpusError, match=said):
        parse_marked(marked, where="x")


RECORD = "id: a\ngenre: sms\npromotional: yes\nmissing: none\ngroup: a\nset: train\n\n你好\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("promotional: yes", "promotional: maybe"), "allowed: yes, no"),
        (("missing: none", "missing: missing_term"), "the spans say none"),
        (("genre: sms\n", ""), "lacks genre"),
        (("genre", "gender"), "header line 'gender: sms'"),
        (("set: train", "set: tset"), "set is 'tset'; allowed: seed, train, validation, test"),
        (("你好", "平安健康好"), "real plan or insurer"),
        (("promotional: yes", "promotional: no\nnote: x"), None),
    ],
)
def test_wrong_records_are_named_with_file_and_line(tmp_path: Path, change, said):
    path = tmp_path / "x.txt"
    path.write_text("===\n" + RECORD.replace(*change), "utf-8")
    examples, errors = read_documents(path)
    assert len(examples) == (said is None)
    assert said is None or (said in str(errors[0]) and str(errors[0]).startswith("x.txt:2"))


def test_nothing_is_copied_across_groups_or_splits(corpus):
    from training.statistics import near_copies_across_splits, repeated_bank_lines, repetition

    assert near_copies_across_splits(corpus) == []
    assert len(repetition(corpus)) < 0.01 * len(corpus)
    assert len(repeated_bank_lines(load_sentences())) < 0.01 * len(load_sentences())


def test_repetition_is_seen(corpus):
    from dataclasses import replace

    from training.statistics import near_copies_across_splits, repetition

    one = next(e for e in corpus if split_of(e) == "train")
    two = replace(one, id="copy", group="copy", source="test", text=one.text + "。")
    assert near_copies_across_splits([one, two]) == [(one.id, "copy")]
    assert [found[0] for found in repetition([one, two])] == [one.id, "copy"]
