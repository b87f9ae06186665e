"""What the linear model underlines can be read by itself."""

import pytest

from nlp_compliance.detect.linear import _clause


@pytest.mark.parametrize(
    ("text", "run", "clause"),
    [
        ("早点买，全家一起参保，划算", "一", "全家一起参保"),
        ("全家一起参保", "一", "全家一起参保"),
        ("好，买", "买", "买"),
        ("必赔 ！", "赔", "必赔"),
    ],
)
def test_a_crumb_grows_to_its_clause(text, run, clause):
    start = text.index(run)
    span = _clause(text, start, start + len(run))
    assert text[span.start : span.end] == clause
