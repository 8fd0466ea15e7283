// `requireBearerAuth` of the MCP SDK for TypeScript, on express, with its tokens in a map.
import express from "express";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { listen, origin } from "./common.mjs";

const expiresAt = Math.floor(Date.now() / 1000) + 3600;
const known = new Map();
for (let index = 0; index < 100; index++) {
  const token = `token-of-about-the-usual-length-${String(index).padStart(8, "0")}`;
  known.set(token, { token, clientId: "bench", scopes: ["mcp"], expiresAt });
}
const verifier = {
  async verifyAccessToken(token) {
    const found = known.get(token);
    if (!found) throw new InvalidTokenError("unknown");
    return found;
  },
};
const app = express();
const guard = requireBearerAuth({
  verifier, requiredScopes: ["mcp"], resourceMetadataUrl: `${origin}/.well-known/oauth-protected-resource`,
});
app.get("/echo", guard, (_, response) => response.send("ok"));
listen({ tokens: [...known.keys()] }, app);
