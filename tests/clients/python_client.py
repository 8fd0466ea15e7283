"""MCP's Python client, in the protocol it negotiates by itself, or with `MODE=legacy` in a session, as
the protocol had it before.

    python python_client.py first|second MCP_URL STATE_FILE

`first` discovers, registers, signs in, calls the tools, asks for more scope and refreshes.
`second`, after the server was killed and started again, goes on with what `first` saved.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth.oauth2 import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

import browser

REDIRECT_URI = "http://localhost:33419/callback"


class Saved:
    """What outlives the process; the client's token storage."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Script:
    def __init__(self, mcp_url: str) -> None:
        self.mcp_url = mcp_url
        self.saved = Saved()
        self.calls: list[tuple[str, str, int, str]] = []
        self.authorizations: list[str] = []
        self.provider = OAuthClientProvider(
            server_url=mcp_url,
            client_metadata=OAuthClientMetadata(client_name="mcp (Python) 2", redirect_uris=[REDIRECT_URI]),
            storage=self.saved,
            redirect_handler=self._redirect,
            callback_handler=self._callback,
        )

    async def _redirect(self, authorization_url: str) -> None:
        self.authorizations.append(authorization_url)

    async def _callback(self) -> AuthorizationCodeResult:
        url = await browser.authorize(self.authorizations[-1], REDIRECT_URI)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        if "code" not in query:
            raise RuntimeError(f"refused: {query}")
        return AuthorizationCodeResult(**query)

    async def _record(self, response: httpx2.Response) -> None:
        request = response.request
        challenge = response.headers.get("www-authenticate", "")
        self.calls.append((request.method, request.url.path, response.status_code, challenge))

    def seen(self, method: str, path: str, status: int) -> list[str]:
        """The challenges of the answers with this status."""
        return [call[3] for call in self.calls if call[:3] == (method, path, status)]

    def client(self, http: httpx2.AsyncClient) -> Client:
        mode = os.environ.get("MODE", "auto")
        return Client(streamable_http_client(self.mcp_url, http_client=http), mode=mode)

    def http(self) -> httpx2.AsyncClient:
        client = create_mcp_http_client(auth=self.provider)
        client.event_hooks = {"response": [self._record]}
        return client

    async def use_tools(self, client: Client) -> list[str]:
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        assert tools == ["delete_note", "echo", "whoami"], tools
        assert await call(client, "echo", message="grüezi") == "grüezi"
        assert await call(client, "whoami") == "demo"
        return tools

    async def refresh(self, client: Client, endpoint: str) -> None:
        """This client refreshes when its clock says so, not on a 401."""
        before = self.saved.tokens
        count = len(self.seen("POST", endpoint, 200))
        self.provider.context.token_expiry_time = time.time() - 1
        assert await call(client, "whoami") == "demo"
        after = self.saved.tokens
        assert before is not None and after is not None
        assert len(self.seen("POST", endpoint, 200)) == count + 1, self.calls
        assert after.access_token != before.access_token
        assert after.refresh_token not in (None, before.refresh_token), "refresh tokens rotate"
        assert after.scope == before.scope, "a refresh keeps the scope"

    async def first(self, summary: dict[str, Any]) -> None:
        path = urlsplit(self.mcp_url).path
        async with self.http() as http, self.client(http) as client:
            challenge = self.seen("POST", path, 401)[0]
            assert challenge.startswith('Bearer resource_metadata="') and "error=" not in challenge, challenge
            assert len(self.seen("POST", "/oauth/register", 201)) == 1, self.calls
            assert self.saved.client and self.saved.tokens and self.saved.tokens.refresh_token
            summary["registered"] = self.saved.client.token_endpoint_auth_method
            summary["scope"] = self.saved.tokens.scope
            summary["tools"] = await self.use_tools(client)

            # This needs `notes:write`, which nobody asked for yet: the client asks for it by itself.
            await call(client, "delete_note", message="none")
            (step_up,) = self.seen("POST", path, 403)
            assert 'error="insufficient_scope"' in step_up and "notes:write" in step_up, step_up
            assert len(self.authorizations) == 2
            assert "notes:write" in (self.saved.tokens.scope or "")
            summary["deleteNote"] = "granted after step-up"

            await self.refresh(client, "/oauth/token")
            summary["protocol"] = client.protocol_version
        summary["refreshed"] = True

    async def second(self, summary: dict[str, Any]) -> None:
        async with self.http() as http, self.client(http) as client:
            summary["tools"] = await self.use_tools(client)
            assert not self.seen("POST", "/oauth/token", 200), "the access token still counts"
            # Its storage has no place for what discovery found: without a 401 it does not look again,
            # and refreshes where servers without metadata had their endpoint.
            await self.refresh(client, "/token")
            await self.use_tools(client)
            assert not self.authorizations, "nobody had to sign in again"
            summary["protocol"] = client.protocol_version
        summary["refreshed"] = True

    def load(self, file: Path) -> None:
        state = json.loads(file.read_text())
        self.saved.tokens = OAuthToken.model_validate(state["tokens"])
        self.saved.client = OAuthClientInformationFull.model_validate(state["client"])

    def store(self, file: Path) -> None:
        kept = {"tokens": self.saved.tokens, "client": self.saved.client}
        file.write_text(json.dumps({name: model.model_dump(mode="json") for name, model in kept.items() if model}))


async def call(client: Client, tool: str, **arguments: str) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return "".join(part.text for part in result.content if part.type == "text")


async def main() -> None:
    phase, mcp_url, state_file = sys.argv[1:]
    script = Script(mcp_url)
    summary: dict[str, Any] = {"client": "mcp (Python) 2", "phase": phase}
    if phase == "first":
        await script.first(summary)
    else:
        script.load(Path(state_file))
        await script.second(summary)
    script.store(Path(state_file))
    print(json.dumps(summary))


asyncio.run(main())
