"""A folder of Parquet files as output, for more rows than one file should hold; it grows while the scan runs.

Rows gather in the journal. When there are enough of them they become `part-000000.parquet` (one file in each
partition), and the journal forgets them in the same moment as it notes the part. A scan that is killed before that
moment writes the same part again, over what was there: nothing is lost and nothing stands twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from typing import Any
from urllib.parse import quote

import orjson

from nlp_compliance.errors import InputError
from nlp_compliance.ingest.places import Place, below, whole
from nlp_compliance.ingest.table import NO_PARTITION
from nlp_compliance.records import week_of
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.journal import Journal
from nlp_compliance.scan.outputs import COLUMNS, arrow, flat_rows
from nlp_compliance.scan.summary import Summary

# Bytes of rows (JSON) in a part: some 15,000 reports, held in memory while the part is written.
PART_BYTES = 64 << 20
_BATCH = 2_048
# The column that each choice divides by.
PARTITIONS: dict[str, str | None] = {"none": None, "week": "周", "account": "公众号", "risk": "风险"}
_WEEK, _EXTRA, _REPORT, _COUNT = "周", "原表", "report", "问题数"
_PARTS = "**/part-*.parquet"
# What may not stand in a folder's name, on any system.
_UNSAFE = re.compile(r'[\x00-\x1f%/\\=:*?"<>|]')
# Folders have names of at most 255 bytes; the whole value stands in `report`. What is cut ends with so much of its hash.
_LONGEST_VALUE, _HASH = 60, 12


class Dataset:
    """The output folder of one scan. Raises InputError for a partition that does not exist."""

    def __init__(self, folder: Place, partition_by: str, rulebook: Rulebook) -> None:
        if partition_by not in PARTITIONS:
            raise InputError(f"partition by {partition_by!r}; allowed: {', '.join(PARTITIONS)}")
        self.folder = folder
        self._by = PARTITIONS[partition_by]
        self._rulebook = rulebook

    def claim(self, *, replace: bool) -> None:
        """Before a new scan: the folder must hold no parts of an earlier one, or with `replace` they are removed.

        Raises InputError.
        """
        for part in below(self.folder, _PARTS):
            if not replace:
                raise InputError(
                    f"{self.folder} holds a dataset already; name another folder, or replace it with --restart"
                )
            part.unlink()

    def take(self, journal: Journal, *, least: int = 1) -> None:
        """Makes a part of the journal's rows, where they have at least `least` bytes."""
        if journal.pending < least:
            return
        number, summary = part_state(journal)
        self._write(number, _counted(journal.rows(failed=False), summary))
        journal.cut({"parts": number + 1, "summary": summary.state()})

    def _write(self, number: int, rows: Iterable[bytes]) -> None:
        _, pq = arrow()
        for folder, table in self._divided(self._table(rows)):
            with whole(folder / f"part-{number:06}.parquet") as draft:
                pq.write_table(table, draft, compression="zstd")

    def _table(self, rows: Iterable[bytes]) -> Any:
        pa, _ = arrow()
        # The same columns in every part: what the input's own columns are called is not known before its end.
        names = (*COLUMNS, _WEEK, _EXTRA, _REPORT)
        schema = pa.schema([(name, pa.int32() if name == _COUNT else pa.string()) for name in names])
        flat = (_with_extra(row) for row in flat_rows(rows, self._rulebook, with_report=True))
        batches = []
        while batch := list(islice(flat, _BATCH)):
            batches.append(pa.RecordBatch.from_pylist(batch, schema=schema))
        return pa.Table.from_batches(batches, schema=schema)

    def _divided(self, table: Any) -> Iterator[tuple[Place, Any]]:
        if self._by is None:
            yield self.folder, table
            return
        import pyarrow.compute as pc

        column = table.column(self._by)
        for value in pc.unique(column).to_pylist():
            rows = table.filter(pc.equal(column, value)).drop_columns([self._by])
            yield self.folder / f"{self._by}={_folder_name(value)}", rows


def _folder_name(value: str) -> str:
    """A value as the name of a folder; different values never share one, as the second part would replace the first."""
    if len(value) > _LONGEST_VALUE:
        value = value[: _LONGEST_VALUE - _HASH] + hashlib.sha256(value.encode()).hexdigest()[:_HASH]
    return _UNSAFE.sub(lambda found: quote(found.group(), safe=""), value) or NO_PARTITION


def part_state(journal: Journal) -> tuple[int, Summary]:
    """The number of the next part, and what the parts before it hold."""
    state = journal.state
    return state.get("parts", 0), Summary.restored(state.get("summary", {}))


def _counted(rows: Iterable[bytes], summary: Summary) -> Iterator[bytes]:
    for row in rows:
        summary.add_line(row)
        yield row


def _with_extra(row: dict[str, Any]) -> dict[str, Any]:
    report = orjson.loads(row[_REPORT])
    extra = report.get("extra")
    row[_EXTRA] = orjson.dumps(extra).decode() if extra else ""
    row[_WEEK] = _week(report.get("source", {}).get("published"))
    return row


def _week(published: str | None) -> str:
    """Empty without a day."""
    return week_of(date.fromisoformat(published[:10])) if published else ""
