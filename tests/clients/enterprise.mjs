// `@modelcontextprotocol/client` 2 for a user who signed in elsewhere: nobody is asked anything.
//
//   node enterprise.mjs MCP_URL IDP_URL

import assert from 'node:assert/strict';

import {
  Client, CrossAppAccessProvider, StreamableHTTPClientTransport, discoverAndRequestJwtAuthGrant,
} from '@modelcontextprotocol/client';

const [mcpUrl, idpUrl] = process.argv.slice(2);

const asked = [];
const authProvider = new CrossAppAccessProvider({
  clientId: 'assistant',
  clientSecret: 'secret: +%',
  expectedIssuer: new URL(mcpUrl).origin,
  async assertion({ authorizationServerUrl, resourceUrl, scope, fetchFn }) {
    asked.push(scope);
    const { jwtAuthGrant } = await discoverAndRequestJwtAuthGrant({
      idpUrl,
      audience: authorizationServerUrl,
      resource: resourceUrl,
      idToken: 'the id_token of alice',
      clientId: 'assistant-at-acme',
      clientSecret: 'acme secret',
      scope,
      fetchFn,
    });
    return jwtAuthGrant;
  },
});
const client = new Client({ name: 'script', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
await client.connect(new StreamableHTTPClientTransport(new URL(mcpUrl), { authProvider }));

const call = async (name, args = {}) => {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, JSON.stringify(result));
  return result.content.map(({ text }) => text).join('');
};
assert.equal(await call('whoami'), 'alice');
assert.equal(authProvider.tokens().scope, 'notes:read');
assert.equal(authProvider.tokens().refresh_token, undefined);
// This needs `notes:write`: the client asks its identity provider for that by itself.
await call('delete_note', { message: 'none' });
assert.equal(authProvider.tokens().scope, 'notes:read notes:write');
await client.close();
console.log(JSON.stringify({ client: '@modelcontextprotocol/client 2', asked }));
