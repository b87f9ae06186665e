"""Laws by the day, rules by their own examples, faults by file and line."""

from datetime import date
from pathlib import Path

import pytest

from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.errors import RulebookError
from nlp_compliance.records import LABELS, TAGS, VIOLATION_LABELS, Document
from nlp_compliance.rulebook import load_rulebook
from nlp_compliance.text.parse import parse


def laws(rulebook, label, day):
    return {(b.law, b.article) for b in rulebook.basis(label, day)}


def test_false_publicity_cites_the_competition_law_in_force_that_day(rulebook):
    old, new = (
        laws(rulebook, "coverage_exaggeration", date(2024, 5, 1)),
        laws(rulebook, "coverage_exaggeration", date(2026, 5, 1)),
    )
    assert ("中华人民共和国反不正当竞争法（2019年修正）", "8") in old
    assert ("中华人民共和国反不正当竞争法（2025年修订）", "9") in new
    assert not {title for title, _ in old} & {"中华人民共和国反不正当竞争法（2025年修订）"}


@pytest.mark.parametrize(("day", "counts"), [(date(2026, 9, 29), False), (date(2026, 9, 30), True)])
def test_online_marketing_rules_count_from_their_first_day(rulebook, day, counts):
    titles = {b.law for b in rulebook.basis("coverage_exaggeration", day)}
    assert ("金融产品网络营销管理办法" in titles) is counts


@pytest.mark.parametrize(
    "day", [date(2022, 1, 1), date(2024, 6, 1), date(2025, 10, 14), date(2025, 10, 15), date(2026, 11, 1)]
)
@pytest.mark.parametrize("label", LABELS)
def test_every_label_rests_on_a_law_on_every_day_that_matters(rulebook, label, day):
    assert rulebook.basis(label, day)


def test_an_article_from_memory_shows_no_number(rulebook):
    for law in rulebook.laws.values():
        for article in law.articles:
            assert article.certainty != "memory" or article.shown_number is None


def test_every_label_tells_an_officer_what_to_do(rulebook):
    for label in LABELS:
        info = rulebook.label(label)
        assert info.name and info.definition and info.reason and info.suggestion and info.severity != "info"
    assert set(rulebook.labels) == {*LABELS, *TAGS}


def test_every_violation_label_has_a_rule_with_examples(rulebook):
    covered = {r.label for r in rulebook.rules if r.kind == "violation"}
    assert covered == set(VIOLATION_LABELS)
    assert all(r.bad and r.good for r in rulebook.rules)


@pytest.mark.parametrize("rule", load_rulebook().rules, ids=lambda r: r.id)
def test_rule_examples(rule, rulebook):
    detector = LexicalDetector(rulebook, advisory=True)
    for text, wanted in [*((b, True) for b in rule.bad), *((g, False) for g in rule.good)]:
        (hits,) = detector.detect([parse(Document("", text))])
        assert (rule.id in {h.rule for h in hits}) is wanted, text


GOOD = """
rules:
  - id: company.slogan
    label: absolute_claim
    kind: violation
    terms: [沁河一哥]
    bad: 认准沁河一哥
    good: 沁河的保险
"""


def write(folder: Path, text: str) -> Path:
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_company_adds_a_rule_and_the_version_changes(tmp_path, rulebook):
    own = load_rulebook([write(tmp_path, GOOD)])
    assert len(own.rules) == len(rulebook.rules) + 1
    assert own.version != rulebook.version
    (hits,) = LexicalDetector(own).detect([parse(Document("", "买保险认准沁河一哥"))])
    assert "company.slogan" in {h.rule for h in hits}


def test_a_company_switches_a_rule_off(tmp_path, rulebook):
    own = load_rulebook([write(tmp_path, "rules:\n  - {id: absolute.best, enabled: false}\n")])
    assert "absolute.best" not in {r.id for r in own.rules}


def test_the_version_does_not_depend_on_paths(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir(), second.mkdir()
    assert load_rulebook([write(first, GOOD)]).version == load_rulebook([write(second, GOOD)]).version


def test_the_version_is_that_of_the_rules_in_force(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir(), second.mkdir()
    write(first, GOOD), write(second, GOOD + "    score: 0.5\n")
    forth, back = load_rulebook([first, second]), load_rulebook([second, first])
    assert forth.rules != back.rules and forth.version != back.version
    assert forth.version == load_rulebook([second]).version and back.version == load_rulebook([first]).version


BROKEN = {
    "no yaml": ("rules:\n  - id: [", r"own\.yaml:\d+: no valid YAML"),
    "wrong list": ("\nrulez:\n  - id: x\n", r"own\.yaml:2: found 'rulez'"),
    "unknown key": (GOOD + "    colour: red\n", r"own\.yaml:3: colour: "),
    "unknown label": (
        GOOD.replace("absolute_claim", "absolut"),
        r"own\.yaml:3: rule company\.slogan has label 'absolut'",
    ),
    "no example": (GOOD.replace("    good: 沁河的保险\n", ""), r"own\.yaml:3: good: "),
    "kind and label": (GOOD.replace("violation", "disclosure"), r"own\.yaml:3: .*does not fit"),
    "score": (GOOD + "    score: 3\n", r"own\.yaml:3: .*score is 3"),
    "no terms": (GOOD.replace("    terms: [沁河一哥]\n", ""), r"own\.yaml:3: .*neither terms nor patterns"),
    "empty term": (
        GOOD.replace("[沁河一哥]", '[""]'),
        r"own\.yaml:3: rule company\.slogan: terms holds an empty string",
    ),
    "foreign tag": (
        GOOD + "    score: !!python/object:os.system {}\n",
        r"own\.yaml:9: no valid YAML: could not determine",
    ),
    "list as key": (GOOD + "    ? [a]\n    : x\n", r"own\.yaml:9: no valid YAML: found unhashable key"),
    "list as top key": ("\n? [a]\n: x\n", r"own\.yaml:2: found 'sequence'"),
    "control character": (GOOD.replace("一哥]", "\x07一哥]"), r"own\.yaml:6: the character U\+0007 is not allowed"),
    "key twice": (GOOD + "    terms: [别的]\n", r"own\.yaml:9: no valid YAML: the key 'terms' stands twice"),
    "no day": (GOOD + "    score: 2026-02-30\n", r"own\.yaml:3: day is out of range"),
    "id twice": (
        GOOD + GOOD.replace("\nrules:\n", "").replace("沁河一哥", "沁河第一"),
        r"own\.yaml:9: the id 'company\.slogan' stands already at .*own\.yaml:3",
    ),
    "unknown off": ("rules:\n  - {id: nothing, enabled: false}\n", r"own\.yaml:2: switches off 'nothing'"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_names_file_line_and_reason(tmp_path, text, message):
    with pytest.raises(RulebookError, match=message):
        load_rulebook([write(tmp_path, text)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("bad: 认准沁河一哥", "bad: 别的话"), r"own\.yaml:3: rule company\.slogan: does not hit its bad example"),
        (("good: 沁河的保险", "good: 沁河一哥"), r"own\.yaml:3: .*hits its good example"),
        (("terms: [沁河一哥]", "patterns: ['(沁河']"), r"own\.yaml:3: .*no regular expression"),
        (("terms: [沁河一哥]", 'terms: ["\\u200b"]'), r"own\.yaml:3: .*keeps nothing"),
    ],
)
def test_a_rule_that_fails_its_examples_does_not_load(tmp_path, change, message):
    own = load_rulebook([write(tmp_path, GOOD.replace(*change))])
    with pytest.raises(RulebookError, match=message):
        LexicalDetector(own)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(RulebookError, match=r"holds no \.yaml file"):
        load_rulebook([tmp_path])
