"""MCP's Python client where nobody is behind it: a service with credentials of its own.

    KEY=PEM python machine.py MCP_URL
"""

import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit

from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken


class Kept:
    """The client's token storage."""

    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("this client is known already")


async def use(mcp_url: str, provider: OAuthClientProvider, kept: Kept) -> None:
    for mode in ("auto", "legacy"):
        async with (
            create_mcp_http_client(auth=provider) as http,
            Client(streamable_http_client(mcp_url, http_client=http), mode=mode) as client,
        ):
            await echo(client)
            first = kept.tokens
            assert first and first.scope == "notes:read" and first.refresh_token is None
            # Its token is over: the next one is of another grant, and the session goes on.
            provider.context.token_expiry_time = time.time() - 1
            await echo(client)
            assert kept.tokens and kept.tokens.access_token != first.access_token


async def echo(client: Client) -> None:
    result = await client.call_tool("echo", {"message": "grüezi"})
    assert not result.is_error, result
    assert [part.text for part in result.content] == ["grüezi"], result


async def main() -> None:
    (mcp_url,) = sys.argv[1:]
    issuer = "{0.scheme}://{0.netloc}".format(urlsplit(mcp_url))
    steps: dict[str, str] = {}
    for method in ("client_secret_basic", "client_secret_post"):
        kept = Kept()
        await use(mcp_url, ClientCredentialsOAuthProvider(mcp_url, kept, "robot", "secret: +%", method, issuer=issuer), kept)
        steps[method] = "passed"
    signed = SignedJWTParameters(issuer="keyed", subject="keyed", signing_algorithm="ES256", signing_key=os.environ["KEY"])
    kept = Kept()
    assertion = signed.create_assertion_provider()
    await use(mcp_url, PrivateKeyJWTOAuthProvider(mcp_url, kept, "keyed", assertion, issuer=issuer), kept)
    steps["private_key_jwt"] = "passed"
    print(json.dumps({"client": "mcp (Python) 2, for itself", "steps": steps}))


asyncio.run(main())
