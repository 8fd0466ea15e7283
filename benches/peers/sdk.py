"""The bearer middleware of the MCP SDK for Python, on uvicorn, with its tokens in a dict."""

import json
import sys
import time

import uvicorn
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

EXPIRES_AT = int(time.time()) + 3600
NAMES = [f"token-of-about-the-usual-length-{index:08}" for index in range(100)]
KNOWN = {
    name: AccessToken(token=name, client_id="bench", scopes=["mcp"], expires_at=EXPIRES_AT) for name in NAMES
}


class Verifier:
    async def verify_token(self, token):
        return KNOWN.get(token)


async def echo(scope, receive, send):
    await PlainTextResponse("ok")(scope, receive, send)


app = Starlette(
    routes=[Route("/echo", RequireAuthMiddleware(echo, ["mcp"]))],
    middleware=[Middleware(AuthenticationMiddleware, backend=BearerAuthBackend(Verifier()))],
)
print(json.dumps({"tokens": NAMES}), flush=True)
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
