"""Commands of whoever runs the server, and the pages of docs that have to name everything."""

import json
import os
import re
import socket
from pathlib import Path

import pytest
import uvicorn

from nlp_compliance import errors as package_errors
from nlp_compliance.cli import main
from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.settings import PREFIX, Settings
from nlp_compliance.store import keys, people, repository
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.schema import now
from nlp_compliance.web import errors, metrics
from nlp_compliance.web.app import create_app
from nlp_compliance.web.desk.app import open_desk
from tests.web.test_security import all_routes

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(PREFIX + "DATA_DIR", str(tmp_path))
    return tmp_path


def stored(folder: Path) -> Database:
    return Database(sqlite_url(folder))


def test_a_key_is_made_shown_once_listed_and_revoked(folder, capsys):
    assert main(["keys", "add", "投放平台", "--scope", "score", "--rate", "5", "--webhook", "https://p.example/h"]) == 0
    said = capsys.readouterr().out
    key = re.search(r"nc_\S+", said).group()
    assert "whsec_" in said
    database = stored(folder)
    with database.reading() as session:
        assert keys.find(session, key).scopes == "score"
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "投放平台" in listed and key not in listed
    assert main(["keys", "revoke", "投放平台"]) == 0
    with database.reading() as session:
        assert keys.find(session, key) is None
    database.close()
    assert main(["keys", "revoke", "没有"]) == 2 and main(["keys", "add", "x", "--scope", "all"]) == 2


def test_people_are_added_and_listed(folder, capsys):
    assert main(["people", "add", "赵管", "--role", "admin", "--password", "correct-horse-9"]) == 0
    assert main(["people", "add", "赵管", "--password", "correct-horse-9"]) == 2
    assert main(["people", "list"]) == 0
    assert "管理员" in capsys.readouterr().out


def test_the_log_is_verified_and_exported(folder, tmp_path, capsys):
    main(["people", "add", "赵管", "--password", "correct-horse-9"])
    out = tmp_path / "audit.jsonl"
    assert main(["audit", "verify"]) == 0 and main(["audit", "export", "-o", str(out)]) == 0
    (row,) = map(json.loads, out.read_text("utf-8").splitlines())
    assert row["action"] == "user.create" and len(row["hash"]) == 64
    database = stored(folder)
    with database.transaction() as session:
        session.get(people.User, 1).name = "别人"
        session.execute(repository.select(people.audit.AuditEntry)).scalar_one().user_name = "别人"
    database.close()
    assert main(["audit", "verify"]) == 1
    assert "被改动" in capsys.readouterr().err


def test_backup_restore_and_purge(folder, tmp_path, monkeypatch, capsys):
    main(["people", "add", "赵管", "--password", "correct-horse-9"])
    target = tmp_path / "b.zip"
    assert main(["backup", str(target)]) == 0 and main(["backup", str(target)]) == 2
    capsys.readouterr()
    assert main(["backup", str(tmp_path / "missing" / "b.zip")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'missing'} does not exist" in said and "free space" not in said
    monkeypatch.setenv(PREFIX + "DATA_DIR", str(tmp_path / "new"))
    assert main(["restore", str(target)]) == 0 and main(["restore", str(target)]) == 2
    capsys.readouterr()
    assert main(["people", "list"]) == 0 and "赵管" in capsys.readouterr().out
    assert main(["purge"]) == 2
    assert main(["purge", "--days", "1"]) == 0 and "已删除0次上传" in capsys.readouterr().err


def test_the_server_refuses_to_listen_beyond_loopback_without_a_key_or_a_person(folder, capsys):
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "API_KEY" in capsys.readouterr().err
    main(["keys", "add", "平台"])
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "no administrator" in capsys.readouterr().err


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def started(monkeypatch):
    """What would be served: (application, options)."""
    calls = []
    monkeypatch.setenv(PREFIX + "DETECTORS", "lexical")
    monkeypatch.setattr(uvicorn, "run", lambda application, **options: calls.append((application, options)))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return calls


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_that_must_fail_says_so_before_it_shows_the_link(folder, started, capsys, workers):
    port = free_port()
    serve = ["serve", "--port", str(port), "--workers", workers]
    assert main([*serve, "--rules", str(folder / "nope")]) == 2
    refused = capsys.readouterr().err
    assert refused.startswith("错误：") and "nope" in refused and "token=" not in refused
    with socket.create_server(("127.0.0.1", port)):
        assert main(serve) == 2
    refused = capsys.readouterr().err
    assert refused.startswith(f"错误：端口{port}已被占用") and "token=" not in refused
    assert not started
    assert main(serve) == 0 and "token=" in capsys.readouterr().err
    ((application, options),) = started
    assert options["port"] == port and options.get("workers", 1) == int(workers)
    if workers == "1":
        application.state.desk.database.close()


def test_what_was_left_running_is_taken_up(folder):
    from nlp_compliance.admin import _prepare

    database = stored(folder)
    with database.transaction() as session:
        repository.add_upload(session, name="x", sha256="0" * 64, size=1, by=None)
        repository.claim(session).leased_until = now()
    _prepare(Settings(data_dir=folder, port=free_port()))
    with database.reading() as session:
        assert repository.waiting_jobs(session) == {"queued": 1}
    database.close()


def test_the_page_of_the_interface_names_every_route_scope_and_error(tmp_path):
    page = (DOCS / "api.md").read_text("utf-8")
    settings = Settings(detectors=("lexical",), data_dir=tmp_path)
    desk = open_desk(settings)
    for route in all_routes(create_app(settings, desk=desk).routes):
        if route.include_in_schema:
            for method in route.methods:
                assert f"`{method} {route.path.replace('{identifier}', '{id}')}`" in page, route.path
    desk.database.close()
    for scope in keys.SCOPES:
        assert f"`{scope}`" in page
    for module in (package_errors, errors):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, NlpComplianceError) and found is not NlpComplianceError:
                assert f"`{found.code}`" in page, found
    for kind in errors.KINDS:
        assert f"| {kind.status} | `{kind.code}` | {kind.when} | {kind.todo} |" in page
    for code, when in errors.PARTS.items():
        assert f"| `{code}` | {when} |" in page


def test_the_page_of_deployment_names_every_figure():
    page = (DOCS / "deployment.md").read_text("utf-8")
    text = metrics.Metrics().exposition(uploads={}).decode()
    for name, kind in re.findall(r"# TYPE (nlp_compliance_\w+) (\w+)", text):
        assert name.endswith("_created") or f"`{name}`" in page, (name, kind)
