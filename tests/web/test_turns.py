"""What two people do at the same moment: the second sees what the first did."""

import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select
from sqlalchemy import text as sql

from nlp_compliance.store import decisions, own_rules, people
from nlp_compliance.store.schema import OwnRule, StoredDocument, User
from tests.web.acting import AD, PASSWORD, Person, settle
from tests.web.test_rules_page import SLOGAN


def answered_meanwhile(state, change, act):
    """What `act` is told that begins while the transaction of `change` is still open."""
    with ThreadPoolExecutor(1) as pool:
        with state.database.transaction() as session:
            change(session)
            session.flush()
            answer = pool.submit(act)
            for _ in range(10 if state.database.is_sqlite else 600):
                time.sleep(0.05)
                if not state.database.is_sqlite and session.scalar(
                    sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
                ):
                    break
        return answer.result()


def named(session, name: str) -> User:
    return session.scalars(select(User).where(User.name == name)).one()


def test_nobody_approves_what_is_decided_on_at_that_moment(desk):
    app, state = desk
    reviewer, approver = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    reviewer.post(f"/documents/{document.id}/verdict", verdict="block", reason="兜底")

    def decide(session):
        own = session.get(StoredDocument, document.id)
        decisions.decide(session, own, by=named(session, "王审"), finding=1, action="accept")

    answer = answered_meanwhile(state, decide, lambda: approver.post(f"/documents/{document.id}/approval", agree="yes"))
    assert answer.status_code == 422 and "没有待复核的结论" in answer.text
    with state.database.reading() as session:
        assert session.get(StoredDocument, document.id).state == "open"


def test_two_administrators_cannot_take_each_others_role(desk):
    app, state = desk
    with state.database.transaction() as session:
        other = people.create_user(session, "孙管", PASSWORD, "admin", by="test").id
    admin = Person(app, "赵管")

    def demote(session):
        people.change_user(session, named(session, "赵管"), by="孙管", role="viewer", active=True, password=None)

    answer = answered_meanwhile(state, demote, lambda: admin.post(f"/people/{other}", role="viewer", active="1"))
    # 401 where the change had already ended the session of who asks.
    assert answer.status_code in (401, 422)
    with state.database.reading() as session:
        assert people.may(session.get(User, other), "admin")


def test_rules_added_at_the_same_moment_get_revisions_of_their_own(desk):
    app, state = desk
    approver = Person(app, "李复")
    first = {**SLOGAN, "terms": ["汾河头牌"], "bad": "买保险就找汾河头牌"}
    answered_meanwhile(
        state,
        lambda session: own_rules.add(session, first, by=named(session, "李复")),
        lambda: approver.post("/rules", **SLOGAN),
    )
    with state.database.reading() as session:
        assert sorted(session.scalars(select(OwnRule.revision))) == [1, 2]
