// openid-client, a certified relying party.
//
//   CONFIGURED_CLIENT=ID:SECRET node openid_client.mjs ORIGIN

import assert from 'node:assert/strict';

import * as openid from 'openid-client';

import { Person } from './browser.mjs';
import { steps, toolCall, toolText } from './steps.mjs';

const REDIRECT_URI = 'http://127.0.0.1:43111/callback';
const AFTER_LOGOUT = 'http://127.0.0.1:43111/goodbye';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const [origin] = process.argv.slice(2);
const resource = `${origin}/mcp`;
const { step, print } = steps('openid-client 6');
const execute = [openid.allowInsecureRequests];

await step('discovery, OAuth', true, () => openid.discovery(new URL(origin), 'none', undefined, undefined, { algorithm: 'oauth2', execute }));

/** Discovers the OpenID configuration and registers. */
async function register(metadata = {}, auth = undefined) {
  const usual = { client_name: 'openid-client', redirect_uris: [REDIRECT_URI], grant_types: ['authorization_code', 'refresh_token'] };
  return openid.dynamicClientRegistration(new URL(origin), { ...usual, ...metadata }, auth, { execute });
}

const config = await step('discovery, OpenID, and registration', true, () => register({ post_logout_redirect_uris: [AFTER_LOGOUT] }));
const server = config.serverMetadata();
const grants = server.grant_types_supported;
const signsIdTokens = server.jwks_uri !== undefined;
if (signsIdTokens) openid.enableNonRepudiationChecks(config);

const person = new Person();

async function authorize(parameters, checks = {}, { client = config, push = false, DPoP } = {}) {
  const verifier = openid.randomPKCECodeVerifier();
  const state = openid.randomState();
  const build = push ? openid.buildAuthorizationUrlWithPAR : openid.buildAuthorizationUrl;
  const url = await build(client, {
    redirect_uri: REDIRECT_URI,
    resource,
    state,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...parameters,
  });
  const answer = await person.authorize(url, REDIRECT_URI);
  const all = { pkceCodeVerifier: verifier, expectedState: state, ...checks };
  return openid.authorizationCodeGrant(client, answer, all, { resource }, { DPoP });
}

async function call(token, { tool = 'whoami', args, DPoP } = {}) {
  const { headers, body } = toolCall(tool, args);
  return toolText(await openid.fetchProtectedResource(config, token, new URL(resource), 'POST', body, headers, { DPoP }));
}

// After registration this client authenticates with client_secret_post, whatever it was told.
let tokens = await step('authorization code', true, () => authorize({ scope: 'notes:read offline_access', prompt: 'consent' }));
await step('tool call', true, async () => assert.equal(await call(tokens.access_token), 'demo'));
tokens = await step('refresh', true, async () => {
  const next = await openid.refreshTokenGrant(config, tokens.refresh_token, { resource });
  assert.notEqual(next.refresh_token, tokens.refresh_token);
  assert.equal(await call(next.access_token), 'demo');
  return next;
});

const identity = await step('ID token', signsIdTokens, async () => {
  const nonce = openid.randomNonce();
  const scope = 'openid profile email offline_access';
  const granted = await authorize({ scope, nonce, max_age: '300', prompt: 'consent' }, { expectedNonce: nonce, idTokenExpected: true, maxAge: 300 });
  const claims = granted.claims();
  assert.equal(claims.sub, 'demo');
  assert.equal(claims.nonce, nonce);
  return granted;
});

await step('refresh with an ID token', signsIdTokens, async () => {
  const next = await openid.refreshTokenGrant(config, identity.refresh_token);
  assert.equal(next.claims().sub, 'demo');
  identity.access_token = next.access_token;
});

await step('userinfo', server.userinfo_endpoint, async () => {
  const { access_token } = identity ?? (await authorize({ scope: 'openid notes:read' }));
  assert.equal((await openid.fetchUserInfo(config, access_token, 'demo')).sub, 'demo');
});

await step('prompt=none', signsIdTokens, async () => {
  const stranger = openid.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope: 'openid',
    prompt: 'none',
    code_challenge: await openid.calculatePKCECodeChallenge(openid.randomPKCECodeVerifier()),
    code_challenge_method: 'S256',
  });
  const answer = await new Person().authorize(stranger, REDIRECT_URI);
  assert.equal(answer.searchParams.get('error'), 'login_required');
});

await step('introspection', server.introspection_endpoint, async () => {
  const answer = await openid.tokenIntrospection(config, tokens.access_token);
  assert.equal(answer.active, true);
});

await step('revocation', server.revocation_endpoint, async () => {
  await openid.tokenRevocation(config, tokens.refresh_token);
  await assert.rejects(openid.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });
});

await step('logout', server.end_session_endpoint, async () => {
  const state = openid.randomState();
  const url = openid.buildEndSessionUrl(config, {
    id_token_hint: identity.id_token,
    post_logout_redirect_uri: AFTER_LOGOUT,
    state,
  });
  const answer = await person.authorize(url, AFTER_LOGOUT);
  assert.equal(answer.searchParams.get('state'), state);
});

await step('pushed authorization request', server.pushed_authorization_request_endpoint, async () => {
  const { access_token } = await authorize({ scope: 'notes:read' }, {}, { push: true });
  assert.equal(await call(access_token), 'demo');
});

await step('client credentials', grants.includes('client_credentials'), async () => {
  const [id, secret] = process.env.CONFIGURED_CLIENT.split(':');
  const configured = new openid.Configuration(server, id, undefined, openid.ClientSecretBasic(secret));
  openid.allowInsecureRequests(configured);
  const { access_token } = await openid.clientCredentialsGrant(configured, { scope: 'notes:read', resource });
  assert.equal(await call(access_token, { tool: 'echo', args: { message: 'grüezi' } }), 'grüezi');
});

await step('private_key_jwt', server.token_endpoint_auth_methods_supported.includes('private_key_jwt'), async () => {
  const { publicKey, privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const jwk = { ...(await crypto.subtle.exportKey('jwk', publicKey)), kid: 'one', use: 'sig' };
  const auth = openid.PrivateKeyJwt({ key: privateKey, kid: 'one' });
  const client = await register({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } }, auth);
  const granted = await authorize({ scope: 'notes:read' }, {}, { client, push: true });
  assert.equal(await call((await openid.refreshTokenGrant(client, granted.refresh_token)).access_token), 'demo');
});

await step('device authorization', grants.includes(DEVICE), async () => {
  const metadata = { token_endpoint_auth_method: 'none', grant_types: [DEVICE, 'refresh_token'] };
  const client = await register(metadata, openid.None());
  const begun = await openid.initiateDeviceAuthorization(client, { scope: 'notes:read', resource });
  const someone = new Person({ fields: { user_code: begun.user_code } });
  await someone.browse(begun.verification_uri_complete);
  const { access_token } = await openid.pollDeviceAuthorizationGrant(client, begun);
  assert.equal(await call(access_token), 'demo');
});

await step('DPoP', server.dpop_signing_alg_values_supported, async () => {
  const client = await register({ token_endpoint_auth_method: 'none' }, openid.None());
  const DPoP = openid.getDPoPHandle(client, await openid.randomDPoPKeyPair('ES256'));
  const bound = await authorize({ scope: 'notes:read' }, {}, { client, DPoP });
  assert.equal(bound.token_type, 'dpop');
  const next = await openid.refreshTokenGrant(client, bound.refresh_token, { resource }, { DPoP });
  assert.equal(await call(next.access_token, { DPoP }), 'demo');
  await assert.rejects(call(next.access_token), 'a bound token is worth nothing as a bearer');
});

print();
