"""Absence as a verdict with proof: which disclosures a promotional text owes, and which it makes."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_compliance.records import (
    BENEFIT_TAG,
    MISSING_LABELS,
    POINTER_TAG,
    Disclosure,
    Duty,
    Evidence,
    discharging_tags,
)


def _evidence(disclosures: Sequence[Disclosure], tags: Sequence[str]) -> tuple[Evidence, ...]:
    return tuple(Evidence(d.start, d.end, d.text) for d in disclosures if d.tag in tags)


def duties(promotional: bool, disclosures: Sequence[Disclosure]) -> tuple[Duty, ...]:
    """The state of every disclosure.

    `present` is proved by the spans that discharge the duty, `absent` and `pointer_only` by the benefit claims that
    raised it. Nothing is required of a text that does not sell or makes no benefit claim.
    """
    claims = _evidence(disclosures, (BENEFIT_TAG,))
    if not promotional or not claims:
        return tuple(Duty(label, "not_required") for label in MISSING_LABELS)
    pointer = any(d.tag == POINTER_TAG for d in disclosures)
    out = []
    for label in MISSING_LABELS:
        proof = _evidence(disclosures, discharging_tags(label))
        if proof:
            out.append(Duty(label, "present", proof))
        else:
            out.append(Duty(label, "pointer_only" if pointer else "absent", claims))
    return tuple(out)
