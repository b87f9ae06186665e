"""Passages for negatives: what is held out stays held out, whatever part of a document is drawn."""

import json
import random

from training.mine import candidates, is_held_out, passages


def test_every_passage_of_a_document_is_on_the_same_side(tmp_path):
    documents = [
        f"第{i}条 基本医保参保人员住院，起付标准由当地规定。" + "就医、备案、结算各有办法。" * 40 for i in range(60)
    ]
    path = tmp_path / "law.jsonl"
    path.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in documents), encoding="utf-8")
    drawn = [list(passages(path, random.Random(seed))) for seed in range(3)]
    assert any(a.text != b.text for a, b in zip(drawn[0], drawn[1], strict=True))
    for sample in drawn:
        assert [p.held_out for p in sample] == [is_held_out(t) for t in documents]
    assert 0 < sum(is_held_out(t) for t in documents) < 20


def test_promotion_is_never_a_negative(tmp_path):
    path = tmp_path / "mixed.jsonl"
    texts = [
        "沁州惠民保今日开放，马上投保，保障一整年，报销不设门槛，全家都能参加，名额有限，先到先得。",
        "市医保局公布上半年基本医保基金收支情况，" * 4,
    ]
    path.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
    found = candidates([str(path)], random.Random(0), limit=10)
    assert [p.text in texts[1] for p in found] == [True]
