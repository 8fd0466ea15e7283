// `oidc-provider`, with a map in memory behind it: the issuing side only.
import { Provider } from "oidc-provider";
import { callback, challenge, codes, listen, origin, redemption } from "./common.mjs";

const rows = new Map();
class Rows {
  constructor(name) { this.name = name; }
  async upsert(id, payload) { rows.set(`${this.name}:${id}`, payload); }
  async find(id) { return rows.get(`${this.name}:${id}`); }
  async destroy(id) { rows.delete(`${this.name}:${id}`); }
  async consume(id) { rows.get(`${this.name}:${id}`).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId() {}
  async findByUid() {}
  async findByUserCode() {}
}

const client_id = "bench";
const provider = new Provider(origin, {
  adapter: Rows,
  clients: [{
    client_id, redirect_uris: [callback], token_endpoint_auth_method: "none", application_type: "native",
    grant_types: ["authorization_code", "refresh_token"], response_types: ["code"],
  }],
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  features: { devInteractions: { enabled: false } },
});
const client = await provider.Client.find(client_id);
const grant = new provider.Grant({ accountId: "alice", clientId: client_id });
grant.addOIDCScope("openid offline_access");
const grantId = await grant.save();

async function code() {
  const code = new provider.AuthorizationCode({
    accountId: "alice", client, grantId, redirectUri: callback, scope: "openid offline_access",
    codeChallenge: challenge, codeChallengeMethod: "S256", gty: "authorization_code",
  });
  return redemption(client_id, await code.save());
}

const answer = provider.callback();
listen({ token: "/token", client_id }, async (request, response) => {
  if (!request.url.startsWith("/bench/codes")) return answer(request, response);
  response.end(await (await codes({ url: origin + request.url }, code)).text());
});
