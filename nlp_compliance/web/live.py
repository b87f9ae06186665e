"""The checker in use. Own rules are loaded on top of it without a restart; the model stays as it is."""

from __future__ import annotations

import json
import logging
import re
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlp_compliance.checker import Checker, Detector
from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.errors import InputError, NlpComplianceError, RulebookError
from nlp_compliance.records import Document, Report
from nlp_compliance.rulebook import Rulebook, load_rulebook
from nlp_compliance.settings import Settings
from nlp_compliance.store import own_rules
from nlp_compliance.store.database import Database
from nlp_compliance.text.normalise import normalise

log = logging.getLogger("nlp_compliance.web")


class LiveChecker:
    """Hands out the checker as it now is; `refresh` takes over what changed in the database."""

    def __init__(self, checker: Checker, settings: Settings, database: Database | None = None) -> None:
        self.settings, self.database = settings, database
        self._base = checker
        self._current = checker
        self._revision = 0
        self._broken: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def current(self) -> Checker:
        return self._current

    @property
    def broken(self) -> Mapping[str, str]:
        """Own rules that are switched on and yet not in force: why, by their ids."""
        return self._broken

    @property
    def rulebook(self) -> Rulebook:
        return self._current.rulebook

    def judge(self, documents: Sequence[Document]) -> list[Report | NlpComplianceError]:
        return self._current.check_many(documents)

    def refresh(self) -> bool:
        """Loads own rules where another revision stands in the database. One that fails, as after an upgrade that knows
        its label no more, is left out."""
        if self.database is None:
            return False
        with self._lock, self.database.reading() as session:
            if own_rules.revision(session) == self._revision:
                return False
            own = own_rules.active(session)
            self._current, self._broken = self._with_sound(own.bodies)
            self._revision = own.revision
        for identifier, why in self._broken.items():
            log.error("own rule %s cannot be loaded: %s", identifier, why)
        log.info("own rules of revision %s loaded, rulebook %s", own.revision, self.rulebook.version)
        return True

    def prove(self, body: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The rule as it will be kept, in normal form. Raises InputError when it does not pass its own examples."""
        rule = {**body, "terms": _normal(body["terms"])}
        if body.get("exceptions"):
            # Exceptions are patterns in a rulebook; what an officer types is taken literally.
            rule["exceptions"] = [re.escape(e) for e in _normal(body["exceptions"])]
        if not rule["terms"]:
            raise InputError("请至少写一个词语")
        _check_examples(rule)
        sound = [o for o in others if o["id"] not in self._broken]
        try:
            self._with([*sound, {"id": "company.new", **rule}])
        except RulebookError as error:
            raise InputError(
                "规则没有通过自检：反例须被命中（被否定、被引用的说法不算），正例不能被命中，标签与类型须相符。"
                f"（{str(error).rpartition(': ')[2]}）"
            ) from error
        return rule

    def _with_sound(self, bodies: Sequence[dict[str, Any]]) -> tuple[Checker, dict[str, str]]:
        """(the checker with all rules that can be loaded, why the others cannot, by their ids)."""
        broken: dict[str, str] = {}
        with suppress(RulebookError):
            return self._with(bodies), broken
        checker, sound = self._base, list[dict[str, Any]]()
        for body in bodies:
            try:
                checker = self._with([*sound, body])
                sound.append(body)
            except RulebookError as error:
                # Without the place in a file that nobody wrote.
                broken[body["id"]] = str(error).partition(": ")[2]
        return checker, broken

    def _with(self, bodies: Sequence[dict[str, Any]]) -> Checker:
        base = self._base
        if not bodies:
            return base
        with tempfile.TemporaryDirectory() as folder:
            # JSON is YAML; so the rules go the way of every other rule folder.
            Path(folder, "own.yaml").write_text(json.dumps({"rules": list(bodies)}, ensure_ascii=False), "utf-8")
            rulebook = load_rulebook([*self.settings.rules_dirs, Path(folder)])
        lexical = LexicalDetector(rulebook, advisory=self.settings.advisory)
        detectors: list[Detector] = [lexical if isinstance(d, LexicalDetector) else d for d in base.detectors]
        return Checker(
            detectors,
            rulebook,
            thresholds=base.thresholds,
            model=(base.version.name, base.version.version),
            max_text_chars=base.max_text_chars,
        )


def _normal(words: Sequence[str]) -> list[str]:
    """Each once, in the form that rules match on."""
    return list(dict.fromkeys(normal for w in words if (normal := normalise(w).text.strip())))


def _check_examples(rule: dict[str, Any]) -> None:
    def hit(example: str) -> bool:
        normal = normalise(example).text
        return any(term in normal for term in rule["terms"])

    for name, key, wanted in (("反例", "bad", True), ("正例", "good", False)):
        example = str(rule[key]).strip()
        if not example:
            raise InputError(f"请写一个{name}")
        if hit(example) and not wanted and not rule.get("exceptions"):
            raise InputError(f"正例“{example}”含有所列词语，会被误报；请换一个合法说法，或填写例外")
        if wanted and not hit(example):
            raise InputError(f"反例“{example}”不含所列词语，规则不会命中它")
