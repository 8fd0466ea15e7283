// The plain OAuth requests of a client that discovers nothing, for scripts that only need a token.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

import { Person } from './browser.mjs';

const REDIRECT_URI = 'http://127.0.0.1/callback';

const json = async (response, status) => {
  const text = await response.text();
  assert.equal(response.status, status, `${response.url}: ${text}`);
  return JSON.parse(text);
};

/** Registers, signs in and approves; the token response. */
export async function signIn(origin, { scope, resource, clientName = 'A script' }) {
  const metadata = await json(await fetch(`${origin}/.well-known/oauth-authorization-server`), 200);
  const { client_id } = await json(
    await fetch(metadata.registration_endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ client_name: clientName, redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'none' }),
    }),
    201,
  );
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(metadata.authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id,
    redirect_uri: REDIRECT_URI,
    scope,
    resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const answer = await new Person().authorize(url, REDIRECT_URI);
  const code = answer.searchParams.get('code');
  assert.ok(code, `refused: ${answer}`);
  const grant = { grant_type: 'authorization_code', code, client_id, redirect_uri: REDIRECT_URI, code_verifier: verifier };
  return json(await fetch(metadata.token_endpoint, { method: 'POST', body: new URLSearchParams(grant) }), 200);
}
