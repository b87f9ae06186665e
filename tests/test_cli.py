"""The command line as a user calls it, in its own process where exit codes matter."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nlp_compliance.cli import main

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "data" / "samples"
AD = "沁河保政府兜底，住院自费最高报100万，扫码投保"


def run(*arguments, stdin: bytes = b"", cwd: Path = ROOT) -> subprocess.CompletedProcess:
    # Rules alone: what is tested is the edge, not the judgement.
    environment = {**os.environ, "NLP_COMPLIANCE_DETECTORS": "lexical", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "nlp_compliance.cli", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env=environment, check=False)


def test_check_prints_evidence_law_and_advice():
    done = run("check", AD)
    out = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    for part in ("政府兜底", "依据", "广告法", "建议"):
        assert part in out


@pytest.mark.parametrize(("level", "code"), [("high", 1), ("low", 1)])
def test_fail_on(level, code):
    assert run("check", AD, "--fail-on", level).returncode == code
    assert run("check", "今天天气不错", "--fail-on", level).returncode == 0


def test_standard_input_and_json():
    done = run("check", "-", "--format", "json", stdin=AD.encode())
    assert json.loads(done.stdout)["risk"] == "high"


def test_scan_carries_ids_and_fields_and_reports_bad_lines(tmp_path):
    source = tmp_path / "in.jsonl"
    lines = [json.dumps({"id": "a", "text": AD, "channel": "sms"}), "{broken", '{"id": "c"}', '{"text": "你好"}']
    source.write_text("\n".join(lines), "utf-8")
    out = tmp_path / "out.jsonl"
    done = run("scan", source, "-o", out)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert done.returncode == 0
    errors = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text("utf-8").splitlines()]
    assert [r["id"] for r in rows] == ["a", f"{source}#4"]
    assert [e["id"] for e in errors] == [f"{source}#2", f"{source}#3"]
    assert rows[0]["extra"] == {"channel": "sms"} and errors[0]["error"]["code"] == "record_invalid"
    assert "line 2" in errors[0]["error"]["message"]
    assert f"{source}#2" in done.stderr.decode()


def test_scan_writes_html_that_escapes(tmp_path):
    (tmp_path / "x.txt").write_text(AD + "<script>alert(1)</script>", "utf-8")
    run("scan", tmp_path / "x.txt", "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "<mark" in page


def test_the_samples_are_read_whole(tmp_path):
    done = run("scan", SAMPLES, "-o", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert done.returncode == 0 and len(rows) == 10 and not [r for r in rows if "error" in r]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan", "nowhere"], "nowhere"),
        (["scan", "Makefile", "-o", "x.docm"], "docm"),
        (["rules", "show", "no.such"], "no.such"),
        (["check"], "source"),
        (["check", "x", "--rules", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_exits_with_2_and_says_why(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.decode().lower()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["check", "--help"],
        ["scan", "--help"],
        ["rules", "--help"],
        ["serve", "--help"],
        ["--version"],
        ["labels"],
        ["rules", "list"],
    ],
)
def test_help_and_lists(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "scan", "report", "serve"])
def test_no_description_is_cut_at_the_width_of_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    assert "…" not in capsys.readouterr().out.replace("s3://…", "")


def test_rules_test_and_lint(tmp_path, capsys):
    assert main(["rules", "test", "政府兜底"]) == 0
    assert "state.underwrites" in capsys.readouterr().out
    (tmp_path / "own.yaml").write_text("rules:\n  - id: x\n", "utf-8")
    assert main(["rules", "lint", str(tmp_path)]) == 1
    assert "own.yaml:2" in capsys.readouterr().err


OWN_RULES = """
rules:
  - {id: own.slogan, label: absolute_claim, kind: violation, terms: [沁河一哥], bad: 认准沁河一哥, good: 沁河的保险}
  - {id: own.slogan.again, label: %s, kind: %s, terms: [沁 河 一 哥], bad: 认准沁河一哥, good: 沁河的保险}
"""


@pytest.mark.parametrize(
    ("label", "kind", "lines"),
    [
        ("absolute_claim", "violation", 0),
        ("absolute_claim", "evidence_needed", 1),
        ("unfair_comparison", "violation", 1),
    ],
)
def test_lint_names_two_rules_that_take_the_same_words_differently(tmp_path, capsys, label, kind, lines):
    (tmp_path / "own.yaml").write_text(OWN_RULES % (label, kind), "utf-8")
    assert main(["rules", "lint", str(tmp_path)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    for line in said:
        assert "沁河一哥" in line and f"{tmp_path / 'own.yaml'}:3" in line and f"{kind} {label}" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--nope"], "--nope"),
        (["check", "a.txt", "b.txt"], "b.txt"),
        (["chekc"], "chekc"),
        (["scan"], "paths"),
        (["check", "-", "--as-of", "gestern"], "gestern"),
    ],
)
def test_wrong_use_is_named_and_ends_with_two(arguments, said, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said.lower() in printed.err.lower() and "--help" in printed.err and not printed.out


LONG_AD = "沁河保由市医保局指导，政府兜底，" + "住院自费最高报100万，牙科和整形不在其中，" * 6 + "扫码投保"


def test_copy_longer_than_a_file_name_may_be_is_judged():
    assert 255 < len(LONG_AD.encode()) < 512 * 3
    done = run("check", LONG_AD, "--format", "json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["risk"] == "high"


def test_a_folder_is_not_judged_by_its_name(tmp_path):
    done = run("check", tmp_path)
    assert done.returncode == 2 and "scan" in done.stderr.decode() and not done.stdout


@pytest.mark.parametrize("name", ["posts.jsonl", "posts.csv", "posts.txt"])
@pytest.mark.parametrize("inside", [False, True], ids=["the file", "its folder"])
def test_a_scan_does_not_overwrite_what_it_reads(tmp_path, name, inside):
    source = tmp_path / name
    rows = {"jsonl": json.dumps({"id": "1", "text": AD}), "csv": f"id,正文\n1,{AD}\n", "txt": AD}
    source.write_text(rows[source.suffix[1:]], "utf-8")
    before = source.read_bytes()
    form = ["--format", "table"] if source.suffix == ".txt" else []
    done = run("scan", tmp_path if inside else source, "-o", source, *form)
    assert done.returncode == 2 and "毁掉" in done.stderr.decode()
    assert source.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("place", [[], ["-o", "report.html"]], ids=["by default", "named"])
def test_a_page_is_not_written_over_one_that_is_read(tmp_path, place):
    page = tmp_path / "report.html"
    page.write_text(f"<html><body>{AD}</body></html>", "utf-8")
    before = page.read_bytes()
    done = run("scan", ".", "--format", "html", *place, cwd=tmp_path)
    assert done.returncode == 2 and "毁掉" in done.stderr.decode() and page.read_bytes() == before
    (tmp_path / "elsewhere").mkdir()
    done = run("scan", page, "--format", "html", *place, cwd=tmp_path / "elsewhere")
    assert done.returncode == 0 and "报告：report.html" in done.stderr.decode()
    assert "政府兜底" in (tmp_path / "elsewhere" / "report.html").read_text("utf-8")


def test_an_earlier_result_in_the_scanned_folder_is_replaced(tmp_path):
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    for _ in range(2):
        done = run("scan", tmp_path, "-o", tmp_path / "out.jsonl")
        assert done.returncode == 0, done.stderr.decode()
        assert len((tmp_path / "out.jsonl").read_text("utf-8").splitlines()) == 1


def test_output_into_the_folder_one_stands_in(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(AD, "utf-8")
    (tmp_path / "out").mkdir()
    done = run("scan", tmp_path / "in", "-o", ".", cwd=tmp_path / "out")
    assert done.returncode == 0, done.stderr.decode()
    assert list((tmp_path / "out").glob("**/*.parquet"))
    done = run("scan", tmp_path / "in", "-o", "")
    assert done.returncode == 2 and "-o" in done.stderr.decode()


def test_a_place_that_cannot_be_written_is_one_line_and_two(tmp_path):
    (tmp_path / "file").write_text("x", "utf-8")
    for target in ("out.html", "out.txt"):
        done = run(
            "scan", SAMPLES, "-o", tmp_path / "file" / target, "--format", "html" if "html" in target else "table"
        )
        assert done.returncode == 2 and "Traceback" not in done.stderr.decode() and "读写失败" in done.stderr.decode()


def test_serve_script_answers_help():
    done = subprocess.run([sys.executable, "serve.py", "--help"], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0 and "--port" in done.stdout.decode()


def test_a_mistyped_path_is_not_judged_as_if_it_were_the_copy(tmp_path):
    done = run("check", tmp_path / "广告.docx")
    assert done.returncode == 2 and "文件不存在" in done.stderr.decode() and not done.stdout


def test_check_of_an_archive_judges_what_it_can_and_names_the_rest(tmp_path):
    archive = tmp_path / "材料.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.pdf", b"%PDF-1.7 cut off")
        packed.writestr("b.txt", AD)
    done = run("check", archive, "--format", "json")
    (report,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2 and report["risk"] == "high" and "a.pdf" in done.stderr.decode()


@pytest.mark.parametrize(("name", "form"), [("out.txt", "jsonl"), ("out.csv", "xlsx")])
def test_a_form_that_the_extension_contradicts_is_refused_before_the_scan(tmp_path, name, form):
    done = run("scan", SAMPLES, "-o", tmp_path / name, "--format", form)
    assert done.returncode == 2 and form in done.stderr.decode() and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "code"), [("今天天气不错", 2), (AD, 1)])
def test_a_gate_is_not_passed_by_what_could_not_be_read(tmp_path, text, code):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(text, "utf-8")
    (tmp_path / "in" / "b.pdf").write_bytes(b"%PDF-1.7 cut off")
    for out in (["-o", tmp_path / "o.jsonl"], []):
        assert run("scan", tmp_path / "in", *out, "--fail-on", "high").returncode == code
    assert run("scan", tmp_path / "in").returncode == 0


def test_a_gate_is_not_passed_by_an_empty_folder(tmp_path):
    (tmp_path / "in").mkdir()
    assert run("scan", tmp_path / "in", "--fail-on", "high").returncode == 2
    assert run("scan", tmp_path / "in").returncode == 0


@pytest.mark.parametrize("command", ["check", "scan"])
def test_an_empty_path_is_not_the_current_folder(command, capsys):
    assert main([command, ""]) == 2
    assert "是空的" in capsys.readouterr().err


def test_a_file_where_a_folder_is_needed_and_a_page_with_another_name_are_refused(tmp_path):
    out = tmp_path / "x.jsonl"
    out.write_text("old", "utf-8")
    for options, said in ((["--partition-by", "week"], "文件夹"), (["--format", "html"], "html")):
        done = run("scan", SAMPLES, "-o", out, *options)
        assert done.returncode == 2 and said in done.stderr.decode() and out.read_text("utf-8") == "old"


@pytest.mark.parametrize(
    "command",
    [
        "keys list",
        "keys revoke 平台",
        "people list",
        "audit verify",
        "audit export -o a.jsonl",
        "backup b.zip",
        "purge",
    ],
)
@pytest.mark.parametrize("url", [None, "sqlite:///elsewhere/desk.sqlite3"])
def test_a_command_that_reads_the_desk_makes_no_empty_one_in_the_wrong_folder(
    command, url, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    if url:
        monkeypatch.setenv("NLP_COMPLIANCE_DATABASE_URL", url)
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / ("elsewhere" if url else "nlp-compliance-data") / "desk.sqlite3") in said
    assert "NLP_COMPLIANCE_DATA_DIR" in said and not list(tmp_path.iterdir())
