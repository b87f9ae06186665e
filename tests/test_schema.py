"""The report is a contract: its schema is published, current, and describes what really comes out."""

import json
from importlib.resources import files

import jsonschema
import pytest

from nlp_compliance.records import Document
from nlp_compliance.schema import label_rows, report_schema, report_schema_text, report_to_dict, rule_rows

TEXTS = ["沁河保政府兜底，住院自费最高报100万，99元一年，扫码投保", "今天天气不错", "😀"]


def test_the_published_schema_is_current():
    stored = (files("nlp_compliance") / "resources" / "report.schema.json").read_text(encoding="utf-8")
    assert stored == report_schema_text(), (
        "run: python -m nlp_compliance.schema > nlp_compliance/resources/report.schema.json"
    )


@pytest.mark.parametrize("text", TEXTS)
def test_reports_follow_the_schema(checker, text):
    row = json.loads(json.dumps(report_to_dict(checker.check(Document("x", text)))))
    jsonschema.validate(row, report_schema())
    assert set(row) >= {"id", "promotional", "risk", "findings", "disclosures", "scores", "model"}


def test_a_missing_disclosure_has_evidence_instead_of_a_place(checker):
    row = report_to_dict(checker.check(Document("x", TEXTS[0])))
    missing = [f for f in row["findings"] if f["category"] == "missing_disclosure"]
    assert missing
    for finding in missing:
        assert finding["start"] is finding["end"] is finding["text"] is None and finding["evidence"]


def test_labels_and_rules_are_plain_json(rulebook):
    json.dumps(label_rows(rulebook))
    json.dumps(rule_rows(rulebook))
