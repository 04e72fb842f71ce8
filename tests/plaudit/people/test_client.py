"""The people's client, against a server on a loopback port."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from plaudit.people.client import AppClient, ServiceGone
from plaudit.up_gateway import GatewayThread, bind

PROVEN_AFTER_LOOKS = 3


def test_an_adapter_is_waited_for_until_it_is_listed() -> None:
    """A system that begins again is ready before it has proven what it is to keep loaded."""
    looks = 0

    async def models(_: Request) -> JSONResponse:
        nonlocal looks
        looks += 1
        listed = ["base", "loop@2"] if looks > PROVEN_AFTER_LOOKS else ["base"]
        return JSONResponse({"data": [{"id": one} for one in listed]})

    with bind("127.0.0.1", 0) as listener:
        gateway = GatewayThread(Starlette(routes=[Route("/v1/models", models)]), listener)
        gateway.start()

        async def wait_for(model: str, patience: float) -> None:
            async with AppClient(f"http://127.0.0.1:{listener.getsockname()[1]}", patience_seconds=patience) as client:
                await client.until_served(model)

        asyncio.run(wait_for("loop@2", 60.0))
        assert looks == PROVEN_AFTER_LOOKS + 1
        with pytest.raises(ServiceGone, match="loop@3 was not listed"):
            asyncio.run(wait_for("loop@3", 0.5))
        gateway.stop()
