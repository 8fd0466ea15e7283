// oauth4webapi, the strictest client there is: status codes, content types, issuers, grammar.
//
//   CONFIGURED_CLIENT=ID:SECRET node oauth4webapi.mjs ORIGIN

import assert from 'node:assert/strict';

import * as oauth from 'oauth4webapi';

import { Person } from './browser.mjs';
import { steps, toolCall, toolText } from './steps.mjs';

const REDIRECT_URI = 'http://127.0.0.1:43110/callback';
const INSECURE = { [oauth.allowInsecureRequests]: true };
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const [origin] = process.argv.slice(2);
const [configuredId, configuredSecret] = process.env.CONFIGURED_CLIENT.split(':');
const configured = { client_id: configuredId };
const configuredAuth = oauth.ClientSecretBasic(configuredSecret);
const resource = `${origin}/mcp`;
const { step, print } = steps('oauth4webapi 3');

await step('protected resource metadata', true, async () => {
  const url = new URL(resource);
  const document = await oauth.processResourceDiscoveryResponse(url, await oauth.resourceDiscoveryRequest(url, INSECURE));
  assert.deepEqual(document.authorization_servers, [origin]);
});

await step('challenge', true, async () => {
  const refused = oauth.protectedResourceRequest('not-a-token', 'POST', new URL(resource), new Headers(), null, INSECURE);
  const { cause } = await refused.then(() => assert.fail('a wrong token was accepted'), (error) => error);
  const [{ scheme, parameters }] = cause;
  assert.equal(scheme, 'bearer');
  assert.equal(parameters.error, 'invalid_token');
  assert.equal(parameters.resource_metadata, `${origin}/.well-known/oauth-protected-resource/mcp`);
});

const discover = async (algorithm) => {
  const issuer = new URL(origin);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...INSECURE }));
};
const as = await step('authorization server metadata', true, () => discover('oauth2'));
await step('OpenID configuration', true, async () => assert.equal((await discover('oidc')).token_endpoint, as.token_endpoint));

const grants = as.grant_types_supported;
const offered = {
  device: as.device_authorization_endpoint !== undefined && grants.includes(DEVICE),
  dpop: (as.dpop_signing_alg_values_supported ?? []).length > 0,
  clientCredentials: grants.includes('client_credentials'),
  privateKeyJwt: as.token_endpoint_auth_methods_supported.includes('private_key_jwt'),
  openid: as.jwks_uri !== undefined && as.scopes_supported.includes('openid'),
};

const register = async (metadata) => {
  const response = await oauth.dynamicClientRegistrationRequest(
    as,
    { client_name: 'oauth4webapi', redirect_uris: [REDIRECT_URI], grant_types: ['authorization_code', 'refresh_token'], ...metadata },
    INSECURE,
  );
  return oauth.processDynamicClientRegistrationResponse(response);
};

const client = await step('registration, public', true, async () => {
  const registered = await register({ token_endpoint_auth_method: 'none' });
  assert.equal(registered.client_secret, undefined);
  return registered;
});
const confidential = await step('registration, confidential', true, async () => {
  const registered = await register({ token_endpoint_auth_method: 'client_secret_basic' });
  assert.ok(registered.client_secret);
  return registered;
});
const secret = oauth.ClientSecretBasic(confidential.client_secret);

/** Those of these algorithms that the server offers; nothing is shown if there are none. */
const shared = (offered, ...ours) => {
  // RFC 9864 has a name of its own for EdDSA with this curve.
  const both = ours.filter((alg) => offered.includes(alg) || (alg === 'Ed25519' && offered.includes('EdDSA')));
  assert.notEqual(both.length, 0, `none of ${ours} is among ${offered}`);
  return both;
};

/** The whole authorization code grant; `push` goes through PAR. */
async function authorize(client, auth, { scope = 'notes:read', nonce, push = false, DPoP } = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  let parameters = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope,
    state,
    resource,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...(nonce && { nonce }),
  });
  if (push) {
    const pushed = () => oauth.pushedAuthorizationRequest(as, client, auth, parameters, { DPoP, ...INSECURE });
    const { request_uri } = await oauth.processPushedAuthorizationResponse(as, client, await pushed());
    parameters = new URLSearchParams({ client_id: client.client_id, request_uri });
  }
  const url = new URL(as.authorization_endpoint);
  url.search = parameters;
  const answer = oauth.validateAuthResponse(as, client, await new Person().authorize(url, REDIRECT_URI), state);
  return withNonce(async () => {
    const options = { DPoP, additionalParameters: { resource }, ...INSECURE };
    const response = await oauth.authorizationCodeGrantRequest(as, client, auth, answer, REDIRECT_URI, verifier, options);
    const expected = { expectedNonce: nonce, requireIdToken: nonce !== undefined };
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, expected);
    if (nonce) await oauth.validateApplicationLevelSignature(as, response, INSECURE);
    return tokens;
  });
}

/** Again where the server wants a nonce of its own in the proof. */
const withNonce = (request) => request().catch((error) => (oauth.isDPoPNonceError(error) ? request() : Promise.reject(error)));

const refresh = async (client, auth, token, options = {}) =>
  withNonce(async () => {
    const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, { ...options, ...INSECURE });
    return oauth.processRefreshTokenResponse(as, client, response);
  });

async function call(token, tool, { args, ...options } = {}) {
  const { headers, body } = toolCall(tool, args);
  return withNonce(async () => {
    const response = await oauth.protectedResourceRequest(token, 'POST', new URL(resource), headers, body, { ...options, ...INSECURE });
    return toolText(response);
  });
}

let tokens = await step('authorization code', true, () => authorize(client, oauth.None()));
await step('tool call', true, async () => assert.equal(await call(tokens.access_token, 'whoami'), 'demo'));
tokens = await step('refresh', true, async () => {
  const next = await refresh(client, oauth.None(), tokens.refresh_token);
  assert.notEqual(next.refresh_token, tokens.refresh_token);
  assert.equal(await call(next.access_token, 'whoami'), 'demo');
  return next;
});

await step('step-up challenge', true, async () => {
  const { cause } = await call(tokens.access_token, 'delete_note').then(() => assert.fail('notes:write was not granted'), (error) => error);
  const [{ parameters }] = cause;
  assert.equal(parameters.error, 'insufficient_scope');
  assert.match(parameters.scope, /\bnotes:write\b/);
});

const secretTokens = await step('authorization code with a secret', true, () => authorize(confidential, secret));

await step('introspection', as.introspection_endpoint, async () => {
  const introspect = async (token, client = configured, auth = configuredAuth) => {
    const response = await oauth.introspectionRequest(as, client, auth, token, INSECURE);
    return oauth.processIntrospectionResponse(as, client, response);
  };
  assert.equal((await introspect(secretTokens.access_token, confidential, secret)).active, true, 'its own');
  assert.deepEqual(await introspect(tokens.access_token, confidential, secret), { active: false }, 'another client’s');
  const access = await introspect(secretTokens.access_token);
  assert.equal(access.active, true);
  assert.equal(access.client_id, confidential.client_id);
  assert.deepEqual([access.aud].flat(), [resource]);
  assert.equal(access.sub, 'demo');
  assert.equal((await introspect(secretTokens.refresh_token, confidential, secret)).active, true, 'its own');
  assert.deepEqual(await introspect(secretTokens.refresh_token), { active: false }, 'no business of a resource server');
  assert.deepEqual(await introspect('not-a-token'), { active: false });
});

await step('revocation', as.revocation_endpoint, async () => {
  const revoke = async (token) => oauth.processRevocationResponse(await oauth.revocationRequest(as, client, oauth.None(), token, INSECURE));
  await revoke('not-a-token');
  await revoke(tokens.refresh_token);
  await assert.rejects(refresh(client, oauth.None(), tokens.refresh_token), { error: 'invalid_grant' });
  await assert.rejects(call(tokens.access_token, 'whoami'), { status: 401 });
});

await step('userinfo', as.userinfo_endpoint, async () => {
  const { access_token } = await authorize(client, oauth.None(), { scope: 'openid notes:read' });
  const response = await oauth.userInfoRequest(as, client, access_token, INSECURE);
  const info = await oauth.processUserInfoResponse(as, client, oauth.skipSubjectCheck, response);
  assert.equal(info.sub, 'demo');
});

await step('ID token', offered.openid, async () => {
  const nonce = oauth.generateRandomNonce();
  const granted = await authorize(client, oauth.None(), { scope: 'openid notes:read', nonce });
  assert.equal(oauth.getValidatedIdTokenClaims(granted).sub, 'demo');
});

await step('pushed authorization request', as.pushed_authorization_request_endpoint, async () => {
  const pushed = await authorize(confidential, secret, { push: true });
  assert.equal(await call(pushed.access_token, 'whoami'), 'demo');
  const byAnyone = await authorize(client, oauth.None(), { push: true });
  assert.equal(await call(byAnyone.access_token, 'whoami'), 'demo');
});

await step('client credentials', offered.clientCredentials, async () => {
  const parameters = new URLSearchParams({ scope: 'notes:read', resource });
  const response = await oauth.clientCredentialsGrantRequest(as, configured, configuredAuth, parameters, INSECURE);
  const granted = await oauth.processClientCredentialsResponse(as, configured, response);
  assert.equal(granted.refresh_token, undefined);
  // There is no person, so no session either, but a token that the resource takes.
  assert.equal(await call(granted.access_token, 'echo', { args: { message: 'grüezi' } }), 'grüezi');
});

await step('private_key_jwt', offered.privateKeyJwt, async () => {
  for (const alg of shared(as.token_endpoint_auth_signing_alg_values_supported, 'RS256', 'ES256', 'Ed25519')) {
    const { publicKey, privateKey } = await oauth.generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await crypto.subtle.exportKey('jwk', publicKey)), kid: `key-${alg}`, use: 'sig' };
    delete jwk.alg;
    const registered = await register({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } });
    const auth = oauth.PrivateKeyJwt({ key: privateKey, kid: jwk.kid });
    const granted = await authorize(registered, auth);
    assert.equal(await call((await refresh(registered, auth, granted.refresh_token)).access_token, 'whoami'), 'demo');
  }
});

await step('device authorization', offered.device, async () => {
  const registered = await register({ token_endpoint_auth_method: 'none', grant_types: [DEVICE, 'refresh_token'] });
  const request = new URLSearchParams({ scope: 'notes:read', resource });
  const begun = await oauth.processDeviceAuthorizationResponse(
    as,
    registered,
    await oauth.deviceAuthorizationRequest(as, registered, oauth.None(), request, INSECURE),
  );
  const poll = async () => {
    const response = await oauth.deviceCodeGrantRequest(as, registered, oauth.None(), begun.device_code, INSECURE);
    return oauth.processDeviceCodeResponse(as, registered, response);
  };
  await assert.rejects(poll(), { error: 'authorization_pending' });
  const person = new Person({ fields: { user_code: begun.user_code } });
  await person.browse(begun.verification_uri_complete ?? begun.verification_uri);
  // Polling again at once would be too fast; RFC 8628 §3.5 gives the interval.
  await new Promise((resolve) => setTimeout(resolve, ((begun.interval ?? 5) + 0.5) * 1000));
  assert.equal(await call((await poll()).access_token, 'whoami'), 'demo');
});

await step('DPoP', offered.dpop, async () => {
  for (const alg of shared(as.dpop_signing_alg_values_supported, 'ES256', 'RS256', 'Ed25519')) {
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg));
    const bound = await authorize(client, oauth.None(), { DPoP });
    assert.equal(bound.token_type, 'dpop');
    assert.equal(await call(bound.access_token, 'whoami', { DPoP }), 'demo');
    await assert.rejects(call(bound.access_token, 'whoami'), { status: 401 }, 'a bound token is worth nothing as a bearer');
    const next = await refresh(client, oauth.None(), bound.refresh_token, { DPoP });
    assert.equal(await call(next.access_token, 'whoami', { DPoP }), 'demo');
    const thief = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
    await assert.rejects(call(next.access_token, 'whoami', { DPoP: thief }), { status: 401 });
  }
});

await step('JWT access token', secretTokens.access_token.split('.').length === 3, async () => {
  const request = new Request(resource, { headers: { authorization: `Bearer ${secretTokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, resource, INSECURE);
  assert.equal(claims.sub, 'demo');
  assert.equal(claims.client_id, confidential.client_id);
});

print();
