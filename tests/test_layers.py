"""Imports point down: a module imports only from lower strata; `training` imports the package and never the reverse."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The table of docs/architecture.md. Modules of one stratum do not know each other, except inside one folder.
STRATA = {
    "errors": 0,
    "records": 1,
    "settings": 1,
    "severity": 2,
    "rulebook": 2,
    "text": 2,
    "ingest": 2,
    "inference": 2,
    "store": 2,
    "detect": 3,
    "schema": 3,
    "checker": 4,
    "scan": 5,
    "report": 6,
    "web": 7,
    "client": 3,
    "admin": 8,
    "commands": 8,
    "cli": 9,
    "__main__": 10,
}
PACKAGE = sorted((ROOT / "nlp_compliance").rglob("*.py"))


def imported(path: Path) -> set[str]:
    out = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            out.add(node.module or "")
    return out


def unit(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = unit(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if own == "__init__":
        return
    for module in imported(path):
        assert not module.startswith(("training", "tests")), f"{path} imports {module}"
        other = unit(module)
        if module.startswith("nlp_compliance.") and other != own:
            assert STRATA[other] < STRATA[own], f"{path}: {own} imports {other}, which is not below it"


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("prometheus_client", "web/metrics.py"),
        ("reportlab", "web/desk/pdf.py"),
        ("onnxruntime", "inference/runtime.py"),
        ("daachorse", "detect/lexical.py"),
        ("rjieba", "text/words.py"),
        ("opencc", "text/normalise.py"),
        ("yaml", "rulebook/load.py"),
        ("rapidocr", "ingest/ocr.py"),
        ("trafilatura", "ingest/article.py"),
        ("pypdfium2", "ingest/pdf.py web/desk/pagepicture.py"),
        ("docx", "ingest/office.py web/desk/exports.py"),
        ("pptx", "ingest/office.py"),
        ("PIL", "ingest/image.py"),
        ("openpyxl", "ingest/table.py"),
        ("xlsxwriter", "scan/outputs.py"),
        ("ray", "scan/cluster.py"),
        ("rensa", "scan/worker.py"),
    ],
)
def test_one_library_one_file(library, home):
    users = {
        str(p.relative_to(ROOT / "nlp_compliance"))
        for p in PACKAGE
        if library in {m.split(".")[0] for m in imported(p)}
    }
    assert users == set(home.split())


def test_serving_needs_no_torch():
    heavy = {"torch", "transformers", "datasets", "sklearn", "scipy"}
    for path in PACKAGE:
        assert not heavy & {m.split(".")[0] for m in imported(path)}, path
