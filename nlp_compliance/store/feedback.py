"""What people decided, as training feedback: the corpus' own JSONL form and Label Studio's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from nlp_compliance.records import SPAN_LABELS
from nlp_compliance.store.decisions import additions, decisions_of, label_of
from nlp_compliance.store.schema import StoredDocument


def feedback_rows(session: Session) -> list[dict[str, Any]]:
    """Decided documents in the corpus' own JSONL form: the spans that people kept, changed or added.

    Only documents with a finished verdict count. A finding without a decision counts as accepted, but not in a text that
    the program took for none of promotion; one that people flag there is promotion after all.
    """
    out = []
    for document in session.scalars(select(StoredDocument).where(StoredDocument.state == "approved")):
        promotional = document.report["promotional"]["value"]
        said = decisions_of(session, document.id)
        decisions = [d for d, _ in said]
        spans = []
        for number, found in enumerate(document.report["findings"], 1):
            own = [d for d in decisions if d.finding == number]
            dismissed = bool(own) and own[-1].action == "dismiss"
            undecided = not own and not promotional
            if found["start"] is None or found["verdict"] != "violation" or dismissed or undecided:
                continue
            spans.append({"start": found["start"], "end": found["end"], "label": label_of(found, own)})
        spans += [{"start": start, "end": end, "label": label} for label, start, end in additions(said)]
        spans += [
            {"start": d["start"], "end": d["end"], "label": d["tag"]}
            for d in document.report["disclosures"]
            if d["tag"] in SPAN_LABELS
        ]
        out.append(
            {
                "id": f"desk-{document.id}",
                "text": document.text,
                "genre": "reviewed",
                "promotional": promotional or bool(spans),
                "spans": sorted(spans, key=lambda s: (s["start"], s["end"], s["label"])),
                "group": f"desk-{document.text_sha256[:16]}",
                "source": "review",
                "verdict": document.verdict,
            }
        )
    return out


def label_studio_rows(session: Session) -> list[dict[str, Any]]:
    """The same as tasks with one finished annotation each; offsets count code points, as Label Studio does in Python.

    The labelling configuration needs `<Text name="text" value="$text"/>` and `<Labels name="label" toName="text">`.
    """
    return [
        {
            "data": {name: row[name] for name in ("text", "id", "verdict", "promotional")},
            "annotations": [
                {
                    "result": [
                        {
                            "id": f"{row['id']}-{number}",
                            "from_name": "label",
                            "to_name": "text",
                            "type": "labels",
                            "value": {
                                "start": span["start"],
                                "end": span["end"],
                                "text": row["text"][span["start"] : span["end"]],
                                "labels": [span["label"]],
                            },
                        }
                        for number, span in enumerate(row["spans"], 1)
                    ]
                }
            ],
        }
        for row in feedback_rows(session)
    ]
