"""The bounded queue: batches of many callers, refusals at once, a poisoned text that fails alone, a graceful stop."""

import asyncio
import threading

import pytest

from nlp_compliance.errors import OverloadedError, TooManyRequestsError
from nlp_compliance.records import Document
from nlp_compliance.web.queue import WorkQueue


class Judge:
    """Answers with the texts it was given; waits for `gate`, breaks on a text with 毒."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate, self.batches, self.begun = gate, [], threading.Event()

    def __call__(self, documents):
        self.begun.set()
        if self.gate:
            assert self.gate.wait(10)
        self.batches.append([d.text for d in documents])
        if any("毒" in d.text for d in documents):
            raise RuntimeError("broken")
        return [d.text for d in documents]


def made(judge, **bounds) -> WorkQueue:
    return WorkQueue(judge, **{"workers": 1, "limit": 8, "per_client": 8, "batch_tokens": 100, **bounds})


def texts(*own: str) -> list[Document]:
    return [Document("", text) for text in own]


async def waiting(queue: WorkQueue, client: str, *own: str) -> asyncio.Task:
    """A call that has its place in the queue."""
    task = asyncio.create_task(queue.run(client, texts(*own)))
    await asyncio.sleep(0)
    return task


async def judged(queue: WorkQueue, *own: str) -> asyncio.Task:
    """A call whose batch is with the judge, so that later texts share the next one."""
    task = await waiting(queue, "first", *own)
    assert await asyncio.to_thread(queue.judge.begun.wait, 10)
    return task


def test_a_full_queue_refuses_at_once_and_recovers():
    async def scenario():
        gate = threading.Event()
        queue = made(Judge(gate), limit=2)
        tasks = [await waiting(queue, "a", "一"), await waiting(queue, "b", "二")]
        with pytest.raises(OverloadedError) as refused:
            await queue.run("c", texts("三"))
        assert refused.value.retry_after_s >= 1
        gate.set()
        assert await asyncio.gather(*tasks) == [["一"], ["二"]]
        assert await queue.run("c", texts("三")) == ["三"] and queue.open == 0
        queue.close()

    asyncio.run(scenario())


def test_every_change_of_the_open_calls_is_told():
    async def scenario():
        told = []
        queue = made(Judge(), limit=1, moved=told.append)
        await queue.run("a", texts("一"))
        await queue.run("a", texts("毒"))
        queue.close()
        with pytest.raises(OverloadedError):
            await queue.run("a", texts("一"))
        assert told == [1, 0, 1, 0]

    asyncio.run(scenario())


def test_one_caller_cannot_take_all_places():
    async def scenario():
        gate = threading.Event()
        queue = made(Judge(gate), per_client=1)
        task = await waiting(queue, "a", "一")
        with pytest.raises(TooManyRequestsError):
            await queue.run("a", texts("二"))
        gate.set()
        await task
        queue.close()

    asyncio.run(scenario())


def test_texts_of_many_callers_share_batches_up_to_the_budget_in_turn():
    async def scenario():
        gate = threading.Event()
        judge = Judge(gate)
        queue = made(judge, batch_tokens=10)
        tasks = [
            await judged(queue, "占位"),
            await waiting(queue, "many", *(f"多{i}" + "长" * 3 for i in range(4))),
            await waiting(queue, "few", "少0长长长"),
        ]
        gate.set()
        results = await asyncio.gather(*tasks)
        queue.close()
        return judge.batches, results

    batches, results = asyncio.run(scenario())
    assert batches[0] == ["占位"]
    # The caller with one text does not wait behind the four of the other.
    assert batches[1] == ["多0长长长", "少0长长长"] and batches[2] == ["多1长长长", "多2长长长"]
    assert results[1] == ["多0长长长", "多1长长长", "多2长长长", "多3长长长"]


def test_a_text_longer_than_the_budget_is_still_judged():
    async def scenario():
        queue = made(Judge(), batch_tokens=1)
        assert await queue.run("a", texts("很长的文字", "短")) == ["很长的文字", "短"]
        queue.close()

    asyncio.run(scenario())


def test_a_poisoned_text_fails_its_own_caller_only():
    async def scenario():
        gate = threading.Event()
        queue = made(Judge(gate))
        tasks = [await judged(queue, "占位")]
        tasks += [await waiting(queue, f"c{i}", "毒" if i == 3 else f"好{i}") for i in range(6)]
        gate.set()
        results = await asyncio.gather(*tasks)
        assert queue.open == 0
        queue.close()
        return results[1:]

    results = asyncio.run(scenario())
    assert [r for i, r in enumerate(results) if i != 3] == [["好0"], ["好1"], ["好2"], ["好4"], ["好5"]]
    assert isinstance(results[3][0], RuntimeError)


def test_a_caller_who_hangs_up_leaves_nothing_behind():
    async def scenario():
        gate = threading.Event()
        judge = Judge(gate)
        queue = made(judge, limit=2)
        first = await waiting(queue, "a", "一")
        gone = await waiting(queue, "b", "没人等")
        gone.cancel()
        await asyncio.sleep(0.01)
        assert queue.open == 1
        gate.set()
        await first
        assert await queue.run("c", texts("三")) == ["三"]
        queue.close()
        return judge.batches

    assert ["没人等"] not in asyncio.run(scenario())


def test_a_stop_finishes_what_was_accepted_and_takes_nothing_more():
    async def scenario():
        gate = threading.Event()
        queue = made(Judge(gate))
        tasks = [await waiting(queue, "a", "一"), await waiting(queue, "b", "二", "三")]
        closing = threading.Thread(target=queue.close)
        closing.start()
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match="stopping"):
            await queue.run("c", texts("四"))
        gate.set()
        results = await asyncio.gather(*tasks)
        closing.join(10)
        assert not closing.is_alive()
        return results

    assert asyncio.run(scenario()) == [["一"], ["二", "三"]]


def test_no_texts_need_no_place():
    async def scenario():
        queue = made(Judge(), limit=1)
        assert await queue.run("a", []) == []
        queue.close()

    asyncio.run(scenario())
