// `@modelcontextprotocol/client` 2 where nobody is behind it: a service with credentials of its own.
//
//   KEY=PEM node machine.mjs MCP_URL

import assert from 'node:assert/strict';

import { Client, ClientCredentialsProvider, DpopSession, PrivateKeyJwtProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { steps } from './steps.mjs';

const [mcpUrl] = process.argv.slice(2);
const expectedIssuer = new URL(mcpUrl).origin;
const { step, print } = steps('@modelcontextprotocol/client 2, for itself');

const bySecret = () => new ClientCredentialsProvider({ clientId: 'robot', clientSecret: 'secret: +%', expectedIssuer });
const byKey = () => new PrivateKeyJwtProvider({ clientId: 'keyed', privateKey: process.env.KEY, algorithm: 'ES256', expectedIssuer });

/** Calls a tool; the token that took. */
async function use(authProvider) {
  const client = new Client({ name: 'script', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.connect(new StreamableHTTPClientTransport(new URL(mcpUrl), { authProvider }));
  const result = await client.callTool({ name: 'echo', arguments: { message: 'grüezi' } });
  assert.ok(!result.isError, JSON.stringify(result));
  assert.equal(result.content[0].text, 'grüezi');
  await client.close();
  return authProvider.tokens();
}

for (const [name, provider] of Object.entries({ secret: bySecret, key: byKey })) {
  await step(name, true, async () => {
    const { token_type, refresh_token, scope } = await use(provider());
    assert.deepEqual({ token_type, refresh_token, scope }, { token_type: 'Bearer', refresh_token: undefined, scope: 'notes:read' });
  });
  // The server asks for nonces: the first proof is refused, and the client comes again by itself.
  await step(`${name}, DPoP`, true, async () => {
    const session = await DpopSession.create();
    const bound = await use(Object.assign(provider(), { dpop: () => session }));
    assert.equal(bound.token_type, 'DPoP');
  });
}
print();
