"""`/docs` without a network: made on the server, no scripts, under the policy of the other pages."""

import json
import re

import pytest

from nlp_compliance.web.errors import KINDS
from nlp_compliance.web.manual import coded


def test_every_route_and_error_and_schema_is_described(client):
    page, document = client.get("/docs").text, client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        assert f"<code>{path}</code>" in page
        for raw in item.values():
            assert raw["summary"].replace("`", "") in re.sub("</?code>", "", page)
    for kind in KINDS:
        assert f"<code>{kind.code}</code>" in page
    for name in ("Report", "Finding"):
        assert f'id="schema-{name}"' in page
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors
    assert len(anchors) == len(re.findall(r'id="', page))


def test_every_reference_of_the_document_leads_somewhere(client):
    text = client.get("/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(schemas)


def test_nothing_comes_from_elsewhere_and_nothing_runs(client):
    answer = client.get("/docs")
    assert (
        "<script" not in answer.text
        and "<style" not in answer.text
        and not re.search(r"\sstyle=|\son\w+=", answer.text)
    )
    assert "http" not in " ".join(re.findall(r'(?:href|src)="([^"]+)"', answer.text))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy
    style = client.get("/docs/style.css")
    assert (
        style.status_code == 200 and style.headers["content-type"].startswith("text/css") and "url(" not in style.text
    )
    assert client.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    ("text", "html"),
    [("a `b<` c", "a <code>b&lt;</code> c"), ("<i>", "&lt;i&gt;"), ("`x`", "<code>x</code>"), ("", "")],
)
def test_backticks_are_code_and_the_rest_is_escaped(text, html):
    assert coded(text) == html
