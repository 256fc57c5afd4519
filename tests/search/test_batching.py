"""Passes of the encoder: shared by those who wait, of one model each, and never for somebody who has gone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcmfh.hashing import load_bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.search.batching import Batcher

REPORTS = [f"Finding number {n} of the lung." for n in range(7)]


@pytest.fixture
def bundles(models):
    return [load_bundle(model.bundle) for model in models]


def test_two_models_are_never_mixed_and_no_pass_is_too_large(bundles):
    passes = []
    with ThreadPoolExecutor(1) as worker:
        batcher = Batcher(worker, 3, lambda modality, queries, seconds: passes.append(queries))

        async def scene():
            return await asyncio.gather(
                *(batcher.submit(bundle, "report", text) for text in REPORTS for bundle in bundles)
            )

        found = asyncio.run(scene())
    alone = [bundle.hash_reports([text])[0] for text in REPORTS for bundle in bundles]
    assert [pack_codes(logits[16][None])[0].tolist() for logits in found] == [code.tolist() for code in alone]
    assert sum(passes) == len(found)
    assert max(passes) == 3


def test_who_has_gone_is_not_encoded(bundles):
    passes = []
    with ThreadPoolExecutor(1) as worker:
        batcher = Batcher(worker, 16, lambda modality, queries, seconds: passes.append(queries))

        async def scene():
            asked = [asyncio.create_task(batcher.submit(bundles[0], "report", text)) for text in REPORTS]
            await asyncio.sleep(0)  # all wait, none runs
            for one in asked[1:5]:
                one.cancel()
            return await asyncio.gather(*asked, return_exceptions=True)

        found = asyncio.run(scene())
    assert sum(isinstance(one, asyncio.CancelledError) for one in found) == 4
    assert sum(passes) == 3


def test_a_fault_is_its_own_query_s_alone(bundles):
    with ThreadPoolExecutor(1) as worker:
        batcher = Batcher(worker, 16)

        async def scene():
            contents = [REPORTS[0], "\ud800", REPORTS[1]]  # a lone surrogate is no text
            return await asyncio.gather(
                *(batcher.submit(bundles[0], "report", text) for text in contents), return_exceptions=True
            )

        first, broken, last = asyncio.run(scene())
    assert isinstance(broken, Exception)
    for logits, report in ((first, REPORTS[0]), (last, REPORTS[1])):
        assert pack_codes(logits[16][None]).tolist() == bundles[0].hash_reports([report]).tolist()
