// `@cloudflare/workers-oauth-provider` under Node, with a map in memory for its KV.
import { register } from "node:module";
import { callback, challenge, codes, origin, redemption, serve } from "./common.mjs";

// What a worker finds there is nothing that is needed here.
const empty = "data:text/javascript,export class WorkerEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }";
register(`data:text/javascript,${encodeURIComponent(`
  export const resolve = (name, context, next) => name === "cloudflare:workers"
    ? { url: ${JSON.stringify(empty)}, shortCircuit: true } : next(name, context);
`)}`);
const { OAuthProvider } = await import("@cloudflare/workers-oauth-provider");

const rows = new Map();
const OAUTH_KV = {
  async get(key, options) {
    const value = rows.get(key) ?? null;
    return value !== null && (options?.type ?? options) === "json" ? JSON.parse(value) : value;
  },
  async put(key, value) { rows.set(key, value); },
  async delete(key) { rows.delete(key); },
  async list({ prefix }) {
    const keys = [...rows.keys()].filter((key) => key.startsWith(prefix)).map((name) => ({ name }));
    return { keys, list_complete: true };
  },
};

const resource = `${origin}/echo`;
let client;
let users = 0;

/** Each for a user of their own: a second grant of one user would be a search for the first. */
async function code(env) {
  const request = {
    responseType: "code", clientId: client.clientId, redirectUri: callback, scope: ["mcp"], state: "s",
    codeChallenge: challenge, codeChallengeMethod: "S256", resource,
  };
  const userId = `user-${users++}`;
  const { redirectTo } = await env.OAUTH_PROVIDER.completeAuthorization({
    request, userId, metadata: {}, scope: ["mcp"], props: { userId },
  });
  return redemption(client.clientId, new URL(redirectTo).searchParams.get("code"), { resource });
}

const provider = new OAuthProvider({
  apiRoute: "/echo",
  apiHandler: { fetch: () => new Response("ok") },
  defaultHandler: {
    async fetch(request, env) {
      client ??= await env.OAUTH_PROVIDER.createClient({
        redirectUris: [callback], tokenEndpointAuthMethod: "none", clientName: "bench",
      });
      return codes(request, () => code(env));
    },
  },
  authorizeEndpoint: "/authorize",
  tokenEndpoint: "/token",
  scopesSupported: ["mcp"],
  resourceMetadata: { resource, authorization_servers: [origin] },
  requiredScopes: ["mcp"],
});
const context = { waitUntil() {}, passThroughOnException() {} };
const fetch = (request) => provider.fetch(request, { OAUTH_KV }, context);
await fetch(new Request(`${origin}/bench/codes?n=0`));
serve({ token: "/token", client_id: client.clientId }, fetch);
