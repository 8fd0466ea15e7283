// better-auth with the `mcp` plugin that 1.6 has, on SQLite: `withMcpAuth` is the guard.
import Database from "better-sqlite3";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { mcp, withMcpAuth } from "better-auth/plugins";
import { callback, challenge, codes, form, origin, redemption, serve } from "../common.mjs";

const options = {
  baseURL: origin,
  secret: "a secret of more than thirty-two characters",
  database: new Database(process.argv[3]),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [mcp({ loginPage: "/login" })],
};
options.database.pragma("journal_mode = WAL");
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);

const call = (path, init) => auth.handler(new Request(`${origin}/api/auth${path}`, init));
const json = (body, headers = {}) => ({
  method: "POST",
  headers: { "content-type": "application/json", origin, ...headers },
  body: JSON.stringify(body),
});
const signedUp = await call("/sign-up/email", json({ name: "Alice", email: "alice@example.com", password: "a long password" }));
const cookie = signedUp.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
const registered = await call("/mcp/register", json({
  client_name: "bench", redirect_uris: [callback], token_endpoint_auth_method: "none",
}));
const { client_id } = await registered.json();

async function code() {
  const query = form({
    response_type: "code", client_id, redirect_uri: callback, state: "s",
    scope: "openid offline_access", code_challenge: challenge, code_challenge_method: "S256",
  });
  const answer = await call(`/mcp/authorize?${query}`, { headers: { cookie } });
  return redemption(client_id, new URL(answer.headers.get("location")).searchParams.get("code"));
}

const echo = withMcpAuth(auth, () => new Response("ok"));
serve({ token: "/api/auth/mcp/token", client_id }, (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/echo") return echo(request);
  if (pathname === "/bench/codes") return codes(request, code);
  return auth.handler(request);
});
