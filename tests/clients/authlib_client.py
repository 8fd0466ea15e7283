"""Authlib, with requests: a lenient client of plain OAuth, in every way it can authenticate.

    python authlib_client.py ORIGIN
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc.jwk import RSAKey

import browser

REDIRECT_URI = "http://localhost:43112/callback"


class Script:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.resource = f"{origin}/mcp"
        self.steps: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}

    def step(self, name: str, offered: object, body: Callable[[], None]) -> None:
        if offered:
            body()
        self.steps[name] = "passed" if offered else "not offered"

    def discover(self) -> None:
        response = requests.get(get_well_known_url(self.origin, external=True), timeout=20)
        response.raise_for_status()
        self.metadata = response.json()
        try:
            AuthorizationServerMetadata(self.metadata).validate()
        except ValueError as error:
            # It knows no exception for loopback.
            assert "https" in str(error), error

    def register(self, method: str, **more: object) -> dict[str, Any]:
        response = requests.post(
            self.metadata["registration_endpoint"],
            json={
                "client_name": "Authlib",
                "redirect_uris": [REDIRECT_URI],
                "grant_types": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_method": method,
                **more,
            },
            timeout=20,
        )
        assert response.status_code == 201, response.text
        return response.json()

    def session(self, method: str, client: dict[str, Any], secret: object = None) -> OAuth2Session:
        return OAuth2Session(
            client["client_id"],
            secret or client.get("client_secret"),
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            scope="notes:read",
            redirect_uri=REDIRECT_URI,
            code_challenge_method="S256",
        )

    def authorize(self, session: OAuth2Session) -> dict[str, Any]:
        verifier = generate_token(64)
        url, _ = session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=verifier, resource=self.resource
        )
        answer = asyncio.run(browser.authorize(url, REDIRECT_URI))
        return session.fetch_token(
            self.metadata["token_endpoint"],
            authorization_response=answer,
            code_verifier=verifier,
            resource=self.resource,
        )

    def ping(self, session: OAuth2Session) -> int:
        """401 without a good token; 406 is the MCP server's own answer to such a GET."""
        return session.get(self.resource, timeout=20).status_code

    def whole_grant(self, method: str, session: OAuth2Session) -> None:
        first = dict(self.authorize(session))
        assert self.ping(session) == 406
        second = session.refresh_token(self.metadata["token_endpoint"], resource=self.resource)
        assert second["refresh_token"] != first["refresh_token"]
        assert self.ping(session) == 406
        self.step(f"{method}: introspection", self.metadata.get("introspection_endpoint") and method != "none", lambda: self.introspect(session))
        self.step(f"{method}: revocation", self.metadata.get("revocation_endpoint"), lambda: self.revoke(session))

    def introspect(self, session: OAuth2Session) -> None:
        answer = session.introspect_token(
            self.metadata["introspection_endpoint"], token=session.token["access_token"]
        )
        assert answer.status_code == 200 and answer.json()["active"] is True, answer.text

    def revoke(self, session: OAuth2Session) -> None:
        token = session.token["refresh_token"]
        answer = session.revoke_token(
            self.metadata["revocation_endpoint"], token=token, token_type_hint="refresh_token"
        )
        assert answer.status_code == 200, answer.text
        assert self.ping(session) == 401
        try:
            session.refresh_token(self.metadata["token_endpoint"], refresh_token=token)
        except OAuthError as error:
            assert error.error == "invalid_grant", error
        else:
            raise AssertionError("a revoked token was accepted")

    def private_key_jwt(self) -> None:
        key = RSAKey.generate_key(2048, {"kid": "authlib", "use": "sig"}, private=True)
        jwks = {"keys": [key.as_dict(private=False)]}
        client = self.register("private_key_jwt", jwks=jwks)
        session = self.session("private_key_jwt", client, key.as_pem(private=True))
        session.register_client_auth_method(PrivateKeyJWT(self.origin, headers={"kid": "authlib"}))
        self.whole_grant("private_key_jwt", session)

    def run(self) -> None:
        self.step("discovery", True, self.discover)
        methods = self.metadata["token_endpoint_auth_methods_supported"]
        for method in ("none", "client_secret_basic", "client_secret_post"):
            self.step(method, method in methods, lambda: self.whole_grant(method, self.session(method, self.register(method))))
        self.step("private_key_jwt", "private_key_jwt" in methods, self.private_key_jwt)
        print(json.dumps({"client": "Authlib 1", "steps": self.steps}))


Script(sys.argv[1]).run()
