"""The thread that asks servers: what is begun on it, and how it runs beside the gateway's own loop."""

import asyncio
import os

import pytest

from serving.engine_errors import EngineFailed
from serving.vllm.background import Background


async def _policy() -> int:
    await asyncio.sleep(0)
    return os.sched_getscheduler(0)


async def _nothing() -> None:
    return None


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux's scheduling policies")
def test_it_stands_back_behind_the_thread_that_made_it() -> None:
    background = Background("servers")
    assert background.run(_policy()) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    background.close(_nothing())
    with pytest.raises(EngineFailed, match="shut down"):
        background.spawn(_nothing())
