"""What the linear model underlines can be read by itself."""

import pytest

from nlp_compliance.detect.clauses import clause_around
from nlp_compliance.detect.linear import _CLAUSE_END


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
    span = clause_around(text, start, start + len(run), _CLAUSE_END)
    assert text[span.start : span.end] == clause
