"""Reads rulebook YAML, checks it as a whole, and proves every rule by its own examples.

A file holds any of the lists `laws`, `labels`, `rules`. A folder of a company may add rules, replace one by its id, or
switch one off with `enabled: false`. A fault names file, line and reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError, with_config

from nlp_compliance.errors import RulebookError
from nlp_compliance.records import LABELS, SPAN_LABELS, TAGS, VIOLATION_LABELS
from nlp_compliance.rulebook.model import LabelInfo, Law, Rule, Rulebook

T = TypeVar("T")
# libyaml reads the rulebook in an eighth of the time; a PyYAML built without it lacks the class.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS: dict[str, type] = {"laws": Law, "labels": LabelInfo, "rules": Rule}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One list item of a file, with the place to name when it is wrong."""

    section: str
    data: dict[str, Any]
    where: str


def load_rulebook(extra_dirs: Sequence[Path] = ()) -> Rulebook:
    """The rulebook of the package with the rules of `extra_dirs` on top. Raises RulebookError."""
    own = Path(str(files("nlp_compliance") / "resources" / "rulebook"))
    paths = sorted(own.rglob("*.yaml"))
    for folder in extra_dirs:
        if not folder.is_dir():
            raise RulebookError(f"{folder} is no folder; give a folder with .yaml files")
        found = sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])
        if not found:
            raise RulebookError(f"{folder} holds no .yaml file; see docs/rules.md for the form")
        paths += found
    entries = [entry for path in paths for entry in _entries(path)]
    rulebook = _assembled(entries, _version(paths))
    _check_whole(rulebook, entries)
    return rulebook


def _version(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for content in sorted(path.read_bytes() for path in paths):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def _entries(path: Path) -> list[_Entry]:
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RulebookError(f"{path}:{line}: no valid YAML: {error.problem}") from error
    except UnicodeDecodeError as error:
        raise RulebookError(f"{path}:1: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    if not isinstance(root, yaml.MappingNode):
        raise RulebookError(f"{path}:1: expected the lists {', '.join(_SECTIONS)} at the top")
    out = []
    for key, value in root.value:
        if key.value not in _SECTIONS or not isinstance(value, yaml.SequenceNode):
            line = key.start_mark.line + 1
            raise RulebookError(f"{path}:{line}: found {key.value!r}; allowed are the lists {', '.join(_SECTIONS)}")
        out += [_entry(path, str(key.value), node) for node in value.value]
    return out


def _entry(path: Path, section: str, node: yaml.Node) -> _Entry:
    where = f"{path}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise RulebookError(f"{where}: an item of {section} is a table of keys; found {node.value!r}")
    constructor = yaml.SafeLoader("")
    data = {str(k): v for k, v in constructor.construct_mapping(node, deep=True).items()}
    return _Entry(section, data, where)


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(with_config({"extra": "forbid"})(kind))


def _made(entry: _Entry, adapters: dict[str, TypeAdapter[Any]]) -> Any:
    data = {k: v for k, v in entry.data.items() if k != "enabled"}
    for key in ("bad", "good", "terms", "patterns", "exceptions", "unless_near"):
        if isinstance(data.get(key), str):
            data[key] = [data[key]]
    try:
        return adapters[entry.section].validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "item"
        raise RulebookError(f"{entry.where}: {place}: {first['msg']}") from error


def _assembled(entries: Sequence[_Entry], version: str) -> Rulebook:
    adapters: dict[str, TypeAdapter[Any]] = {name: _adapter(kind) for name, kind in _SECTIONS.items()}
    tables: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    for entry in entries:
        if entry.section == "rules" and entry.data.get("enabled") is False:
            if tables["rules"].pop(str(entry.data.get("id")), None) is None:
                raise RulebookError(
                    f"{entry.where}: switches off {entry.data.get('id')!r}, which no earlier file defines"
                )
            continue
        made = _made(entry, adapters)
        tables[entry.section][made.id] = made
    return Rulebook(tables["laws"], tables["labels"], tuple(tables["rules"].values()), version)


def _check_whole(rulebook: Rulebook, entries: Sequence[_Entry]) -> None:
    where = {(e.section, e.data.get("id")): e.where for e in entries}
    if lacking := {*LABELS, *TAGS} - rulebook.labels.keys():
        raise RulebookError(f"the rulebook has no entry for {', '.join(sorted(lacking))}")
    for label in rulebook.labels.values():
        _check_label(rulebook, label, where["labels", label.id])
    for rule in rulebook.rules:
        _check_rule(rule, where["rules", rule.id])


def _check_label(rulebook: Rulebook, label: LabelInfo, where: str) -> None:
    if label.id not in (*LABELS, *TAGS):
        raise RulebookError(f"{where}: label {label.id!r} is unknown; known: {', '.join((*LABELS, *TAGS))}")
    for law, article in label.basis:
        if law not in rulebook.laws:
            raise RulebookError(f"{where}: {label.id} rests on law {law!r}, which no file defines")
        if article not in {a.id for a in rulebook.laws[law].articles}:
            raise RulebookError(f"{where}: {label.id} rests on article {article!r}, which {law} does not hold")


def _check_rule(rule: Rule, where: str) -> None:
    if rule.label not in SPAN_LABELS:
        raise RulebookError(f"{where}: rule {rule.id} has label {rule.label!r}; allowed: {', '.join(SPAN_LABELS)}")
    if (rule.kind == "disclosure") == (rule.label in VIOLATION_LABELS):
        raise RulebookError(f"{where}: rule {rule.id}: kind {rule.kind!r} does not fit label {rule.label!r}")
    if not rule.terms and not rule.patterns:
        raise RulebookError(f"{where}: rule {rule.id} has neither terms nor patterns")
    if not rule.bad or not rule.good:
        raise RulebookError(f"{where}: rule {rule.id} needs one `bad` and one `good` example")
    if not 0.0 < rule.score <= 1.0:
        raise RulebookError(f"{where}: rule {rule.id}: score is {rule.score}; allowed: above 0, at most 1")
