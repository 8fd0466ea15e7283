"""MCP's Python client for a user who signed in elsewhere: nobody is asked anything.

    python enterprise.py MCP_URL IDP_URL
"""

import asyncio
import json
import sys
from urllib.parse import urlsplit

import httpx2
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
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


async def use(mcp_url: str, idp_url: str, method: str) -> list[str]:
    kept, scopes = Kept(), []

    async def assertion(audience: str, resource: str) -> str:
        """The client asks for more when it is told to; this identity provider gives all it may."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
            "audience": audience,
            "resource": resource,
            "scope": "notes:read notes:write",
            "subject_token": "the id_token of alice",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "client_id": "assistant-at-acme",
            "client_secret": "acme secret",
        }
        async with httpx2.AsyncClient() as http:
            response = await http.post(f"{idp_url}/token", data=form)
            response.raise_for_status()
            return response.json()["access_token"]

    provider = IdentityAssertionOAuthProvider(
        server_url=mcp_url,
        storage=kept,
        client_id="assistant",
        client_secret="secret: +%",
        issuer="{0.scheme}://{0.netloc}".format(urlsplit(mcp_url)),
        assertion_provider=assertion,
        scope="notes:read",
        token_endpoint_auth_method=method,
    )
    async with (
        create_mcp_http_client(auth=provider) as http,
        Client(streamable_http_client(mcp_url, http_client=http)) as client,
    ):
        assert await call(client, "whoami") == "alice"
        assert kept.tokens and kept.tokens.refresh_token is None
        scopes.append(kept.tokens.scope)
        # This needs `notes:write`, which the client asks for by itself.
        await call(client, "delete_note", message="none")
        scopes.append(kept.tokens.scope)
    assert scopes == ["notes:read", "notes:read notes:write"], scopes
    return scopes


async def call(client: Client, tool: str, **arguments: str) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return "".join(part.text for part in result.content if part.type == "text")


async def main() -> None:
    mcp_url, idp_url = sys.argv[1:]
    for method in ("client_secret_post", "client_secret_basic"):
        scopes = await use(mcp_url, idp_url, method)
        print(json.dumps({"client": "mcp (Python) 2", "method": method, "scopes": scopes}))


asyncio.run(main())
