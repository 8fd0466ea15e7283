// better-auth 1.7 with `@better-auth/mcp`, on SQLite: `requireMcpAuth` is the guard.
import Database from "better-sqlite3";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { jwt } from "better-auth/plugins";
import { mcp, requireMcpAuth } from "@better-auth/mcp";
import { callback, challenge, codes, form, origin, redemption, serve } from "../common.mjs";

const resource = `${origin}/mcp`;
const options = {
  baseURL: origin,
  secret: "a secret of more than thirty-two characters",
  database: new Database(process.argv[3]),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [
    jwt(),
    mcp({
      loginPage: "/login", consentPage: "/consent", resource,
      allowDynamicClientRegistration: true, allowUnauthenticatedClientRegistration: true,
    }),
  ],
};
options.database.pragma("journal_mode = WAL");
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);

const call = (path, init) => auth.handler(new Request(`${origin}/api/auth${path}`, init));
const json = (body) => ({
  method: "POST", headers: { "content-type": "application/json", origin }, body: JSON.stringify(body),
});
const signedUp = await call("/sign-up/email", json({ name: "Alice", email: "alice@example.com", password: "a long password" }));
const cookie = signedUp.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
const registered = await call("/oauth2/register", json({
  redirect_uris: [callback], token_endpoint_auth_method: "none", application_type: "native",
  grant_types: ["authorization_code", "refresh_token"],
}));
const { client_id } = await registered.json();
options.database.prepare("update oauthClient set skipConsent = 1").run();

async function code() {
  const query = form({
    response_type: "code", client_id, redirect_uri: callback, state: "s", resource,
    scope: "openid offline_access", code_challenge: challenge, code_challenge_method: "S256",
  });
  const answer = await call(`/oauth2/authorize?${query}`, { headers: { cookie } });
  const location = answer.headers.get("location") ?? (await answer.json()).url;
  return redemption(client_id, new URL(location).searchParams.get("code"), { resource });
}

const echo = requireMcpAuth(auth, () => new Response("ok"), { resource });
serve({ token: "/api/auth/oauth2/token", client_id, resource }, (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/echo") return echo(request);
  if (pathname === "/bench/codes") return codes(request, code);
  return auth.handler(request);
});
