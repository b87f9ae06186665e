"""Decisions come back as training data, checked; the gate lets no worse bundle through."""

import json

import pytest

from nlp_compliance.records import Document
from training import gate
from training.corpus import Example, LabelledSpan, load_split
from training.feedback import FeedbackError, main, raw_rows, read_extra, take_in
from training.judged import judge

TEXT = "沁河保政府兜底，住院自付超过1.6万元的部分报七成"
ROW = {
    "id": "desk-7",
    "text": TEXT,
    "promotional": True,
    "spans": [{"start": 3, "end": 7, "label": "state_underwriting"}, {"start": 8, "end": 25, "label": "benefit_claim"}],
    "verdict": "return",
}
TASK = {
    "data": {"text": TEXT, "id": "ls-1"},
    "annotations": [
        {"was_cancelled": True, "result": []},
        {"result": [{"type": "labels", "value": {"start": 3, "end": 7, "labels": ["state_underwriting"]}}]},
    ],
}


def write(path, *rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def test_desk_and_label_studio_exports_become_examples(tmp_path, capsys):
    studio = tmp_path / "project.json"
    studio.write_text(json.dumps([{**TASK, "data": {"text": TEXT + "。", "id": "ls-1"}}]), encoding="utf-8")
    out = tmp_path / "extra.jsonl"
    assert main([str(write(tmp_path / "d.jsonl", ROW)), str(studio), "--out", str(out)]) == 0
    desk, other = read_extra(out)
    assert [TEXT[s.start : s.end] for s in desk.spans] == ["政府兜底", "住院自付超过1.6万元的部分报七成"]
    assert "missing_exclusions" in desk.missing and desk.group != other.group
    assert {s.label for s in other.spans} == {"state_underwriting"}


def test_the_stance_that_the_desk_exports_to_label_studio_comes_back(tmp_path):
    def task(number, **data):
        return {
            "data": {"text": f"第{number}条：沁河保本周截止", "id": str(number), **data},
            "annotations": [{"result": []}],
        }

    studio = tmp_path / "project.json"
    studio.write_text(json.dumps([task(1, promotional=True), task(2, promotional=False), task(3)]), encoding="utf-8")
    assert [e.promotional for e in take_in([studio], []).examples] == [True, False, False]


def test_two_desks_that_number_their_documents_alike_lose_nothing(tmp_path):
    paths = [write(tmp_path / f"{n}.jsonl", {**ROW, "text": TEXT + "！" * n}) for n in range(2)]
    first, second = take_in(paths, []).examples
    assert first.id == "desk-7" != second.id and first.group != second.group and second.text == TEXT + "！"


def test_a_line_separator_inside_of_a_text_ends_no_row(tmp_path):
    out = tmp_path / "extra.jsonl"
    assert (
        main([str(write(tmp_path / "d.jsonl", {**ROW, "text": TEXT + "\u2028扫码\x85投保"})), "--out", str(out)]) == 0
    )
    (example,) = read_extra(out)
    assert example.text == TEXT + "\u2028扫码\x85投保"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"spans": [{"start": 3, "end": 99, "label": "pointer"}]}, "outside the text"),
        ({"spans": [{"start": 0, "end": 2, "label": "nonsense"}]}, "unknown label"),
        ({"promotional": False}, "does not sell"),
        ({"text": " ", "spans": []}, "empty"),
        ({"text": None}, "expected str"),
    ],
)
def test_a_wrong_row_is_left_out_with_its_reason_and_stops_nothing(tmp_path, change, says):
    path = write(tmp_path / "d.jsonl", {**ROW, **change}, ROW, ROW)
    intake = take_in([path], [])
    assert len(intake.examples) == 1
    assert says in intake.refused[0] and "before" in intake.refused[1]


def test_what_is_kept_for_measuring_is_not_learned(tmp_path):
    test_document = max(load_split("test"), key=lambda e: len(e.text))
    path = write(tmp_path / "d.jsonl", {**ROW, "text": test_document.text + "！", "spans": []})
    intake = take_in([path], [test_document])
    assert not intake.examples and test_document.id in intake.refused[0]


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(FeedbackError, match="Label Studio"):
        list(raw_rows(path))
    assert main([str(path), "--out", str(tmp_path / "o")]) == 2


class Fixed:
    """A checker that finds `label` in every text that holds `word`."""

    def __init__(self, inner, word):
        self.inner, self.word = inner, word

    def check_many(self, documents):
        return self.inner.check_many([Document(d.id, d.text.replace("兜底", self.word)) for d in documents])


def test_the_gate_tells_better_from_worse(rules_checker):
    def example(number):
        text = f"第{number}期：沁河保政府兜底，住院自付超过1.6万元报七成，扫码投保"
        start = text.index("政府兜底")
        spans = (LabelledSpan(start, start + 4, "state_underwriting"),)
        return Example(str(number), text, "sms", True, spans, (), str(number), "test")

    examples = [example(n) for n in range(12)]
    good, bad = judge(rules_checker, examples), judge(Fixed(rules_checker, "引导"), examples)
    worse = {v.name: v for v in gate.compare(good, bad, rounds=20)}["macro F1, 12 violation labels"]
    assert worse.worse(margin=0.0, hard=0.02)
    assert not any(v.worse(margin=0.0, hard=0.02) for v in gate.compare(good, good, rounds=20))
    assert "worse" in "\n".join(gate.report([worse], margin=0.0, hard=0.02))


def test_installing_replaces_the_whole_folder(tmp_path):
    for name, content in (("old", "a"), ("new", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(content)
    (tmp_path / "old" / "stale.bin").write_text("x")
    gate.install(tmp_path / "new", tmp_path / "old")
    assert sorted(p.name for p in (tmp_path / "old").iterdir()) == ["manifest.json"]
    assert not (tmp_path / "old.old").exists()
