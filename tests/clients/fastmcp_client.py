"""FastMCP's client: a confidential client by default, with a random port in its redirect URI.

    python fastmcp_client.py ORIGIN
"""

import asyncio
import json
import sys
import threading

import httpx2
from fastmcp import Client
from fastmcp.client.auth import OAuth
from key_value.aio.stores.memory import MemoryStore

import browser


class WithoutBrowser(OAuth):
    """Its own callback server, but nobody to look at a window."""

    authorizations = 0

    async def redirect_handler(self, authorization_url: str) -> None:
        self.authorizations += 1
        threading.Thread(target=asyncio.run, args=[self._person(authorization_url)]).start()

    async def _person(self, authorization_url: str) -> None:
        redirect_uri = f"http://localhost:{self.redirect_port}/callback"
        answer = await browser.authorize(authorization_url, redirect_uri)
        # The callback server starts at the same moment.
        transport = httpx2.AsyncHTTPTransport(retries=10)
        async with httpx2.AsyncClient(transport=transport) as arrival:
            (await arrival.get(answer)).raise_for_status()


async def call(client: Client, tool: str, arguments: dict[str, str] | None = None) -> str:
    result = await client.call_tool(tool, arguments)
    return "".join(part.text for part in result.content)


async def refresh(client: Client, auth: OAuth) -> None:
    before = auth.context.current_tokens
    auth.context.token_expiry_time = 1
    assert await call(client, "whoami") == "demo"
    after = auth.context.current_tokens
    assert before and after and after.refresh_token not in (None, before.refresh_token)


async def main() -> None:
    (origin,) = sys.argv[1:]
    storage = MemoryStore()
    steps: dict[str, str] = {}

    first = WithoutBrowser(token_storage=storage)
    async with Client(f"{origin}/mcp", auth=first) as client:
        assert first.authorizations == 1
        steps["sign-in"] = "passed"
        tools = sorted(tool.name for tool in await client.list_tools())
        assert tools == ["delete_note", "echo", "whoami"], tools
        assert await call(client, "whoami") == "demo"
        steps["tool calls"] = "passed"
        # It asks for what the challenge names, whatever it was told, and then for more.
        assert await call(client, "delete_note", {"message": "none"}) == "There was no such note."
        assert first.authorizations == 2
        steps["step-up"] = "passed"
        await refresh(client, first)
        assert first.authorizations == 2
        steps["refresh"] = "passed"

    second = WithoutBrowser(token_storage=storage)
    async with Client(f"{origin}/mcp", auth=second) as client:
        assert await call(client, "whoami") == "demo"
        assert second.authorizations == 0
        steps["stored tokens"] = "passed"
        # What discovery found is not among what it stores: this refresh goes to /token.
        await refresh(client, second)
        assert second.authorizations == 0
        steps["refresh with stored tokens"] = "passed"

    print(json.dumps({"client": "FastMCP 4", "steps": steps}))


asyncio.run(main())
