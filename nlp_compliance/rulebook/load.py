"""Reads rulebook YAML, checks it as a whole, and proves every rule by its own examples.

A file holds any of the lists `laws`, `labels`, `rules`. A folder of a company may add rules, replace one by its id, or
switch one off with `enabled: false`, each id once. A fault names file, line and reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError, with_config
from pydantic_core import to_json

from nlp_compliance.errors import RulebookError
from nlp_compliance.records import LABELS, SPAN_LABELS, TAGS, VIOLATION_LABELS
from nlp_compliance.rulebook.model import LabelInfo, Law, Rule, Rulebook

T = TypeVar("T")
# libyaml reads the rulebook in an eighth of the time; a PyYAML built without it lacks the class.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS: dict[str, type] = {"laws": Law, "labels": LabelInfo, "rules": Rule}


class _Constructor(yaml.constructor.SafeConstructor):
    """Plain values only. YAML forbids a key twice in one table; PyYAML would let the last one win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice; keep one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One list item of a file, with the place to name when it is wrong."""

    section: str
    data: dict[str, Any]
    where: str


def load_rulebook(extra_dirs: Sequence[Path] = ()) -> Rulebook:
    """The rulebook of the package with the rules of `extra_dirs` on top. Raises RulebookError."""
    own = Path(str(files("nlp_compliance") / "resources" / "rulebook"))
    entries = _entries(sorted(own.rglob("*.yaml")))
    for folder in extra_dirs:
        if not folder.is_dir():
            raise RulebookError(f"{folder} is no folder; give a folder with .yaml files")
        found = sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])
        if not found:
            raise RulebookError(f"{folder} holds no .yaml file; see docs/rules.md for the form")
        entries += _entries(found)
    rulebook = _assembled(entries)
    _check_whole(rulebook, entries)
    return rulebook


def _version(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """A hash of what is in force: of the records, so neither paths and comments nor what was replaced count."""
    in_force = [[name, [table[key] for key in sorted(table)]] for name, table in tables.items()]
    return hashlib.sha256(to_json(in_force)).hexdigest()[:12]


def _entries(paths: Sequence[Path]) -> list[_Entry]:
    """The items of one folder. Only another folder may replace them: twice in the same one is a slip."""
    places: dict[tuple[str, str], str] = {}
    entries = [entry for path in paths for entry in _items(path)]
    for entry in (e for e in entries if "id" in e.data):
        key = entry.section, str(entry.data["id"])
        if key in places:
            raise RulebookError(
                f"{entry.where}: the id {key[1]!r} stands already at {places[key]}; give one another id"
            )
        places[key] = entry.where
    return entries


def _items(path: Path) -> list[_Entry]:
    root = _root(path)
    if not isinstance(root, yaml.MappingNode):
        raise RulebookError(f"{path}:1: expected the lists {', '.join(_SECTIONS)} at the top")
    out = []
    for key, value in root.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else key.id
        if name not in _SECTIONS or not isinstance(value, yaml.SequenceNode):
            line = key.start_mark.line + 1
            raise RulebookError(f"{path}:{line}: found {name!r}; allowed are the lists {', '.join(_SECTIONS)}")
        out += [_entry(path, name, node) for node in value.value]
    return out


def _root(path: Path) -> yaml.Node | None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RulebookError(f"{path}:1: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    # The reader of YAML refuses these characters as well, but does not say where they stand.
    if bad := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise RulebookError(f"{path}:{line}: the character U+{ord(bad.group()):04X} is not allowed; delete it")
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: yaml.MarkedYAMLError) -> RulebookError:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return RulebookError(f"{path}:{line}: no valid YAML: {error.problem}")


def _entry(path: Path, section: str, node: yaml.Node) -> _Entry:
    where = f"{path}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise RulebookError(f"{where}: an item of {section} is a table of keys; found {node.value!r}")
    try:
        data = {str(k): v for k, v in _Constructor().construct_mapping(node, deep=True).items()}
    except yaml.MarkedYAMLError as error:
        raise _broken(path, error) from error
    except ValueError as error:  # a day or number that looks like one and is none, such as 2026-02-30
        raise RulebookError(f"{where}: {error}") from error
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


def _assembled(entries: Sequence[_Entry]) -> Rulebook:
    adapters: dict[str, TypeAdapter[Any]] = {name: _adapter(kind) for name, kind in _SECTIONS.items()}
    tables: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    places: dict[str, str] = {}
    for entry in entries:
        if entry.section == "rules" and entry.data.get("enabled") is False:
            if tables["rules"].pop(str(entry.data.get("id")), None) is None:
                raise RulebookError(
                    f"{entry.where}: switches off {entry.data.get('id')!r}, which no earlier file defines"
                )
            continue
        made = _made(entry, adapters)
        tables[entry.section][made.id] = made
        if entry.section == "rules":
            places[made.id] = entry.where
    return Rulebook(tables["laws"], tables["labels"], tuple(tables["rules"].values()), _version(tables), places)


def _check_whole(rulebook: Rulebook, entries: Sequence[_Entry]) -> None:
    where = {e.data["id"]: e.where for e in entries if e.section == "labels"}
    if lacking := {*LABELS, *TAGS} - rulebook.labels.keys():
        raise RulebookError(f"the rulebook has no entry for {', '.join(sorted(lacking))}")
    for label in rulebook.labels.values():
        _check_label(rulebook, label, where[label.id])
    for rule in rulebook.rules:
        _check_rule(rule, rulebook.places[rule.id])


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
    for key in ("terms", "patterns", "exceptions", "unless_near"):
        if not all(item.strip() for item in getattr(rule, key)):
            raise RulebookError(f"{where}: rule {rule.id}: {key} holds an empty string; delete it or fill it in")
    if not rule.bad or not rule.good:
        raise RulebookError(f"{where}: rule {rule.id} needs one `bad` and one `good` example")
    if not 0.0 < rule.score <= 1.0:
        raise RulebookError(f"{where}: rule {rule.id}: score is {rule.score}; allowed: above 0, at most 1")
