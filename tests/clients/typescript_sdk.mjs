// `@modelcontextprotocol/sdk` 1: the handshake era (`initialize`, sessions).

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { play } from './scenario.mjs';

await play({
  name: '@modelcontextprotocol/sdk 1',
  connect(authProvider, url, fetch) {
    const client = new Client({ name: 'script', version: '1.0.0' });
    const transport = new StreamableHTTPClientTransport(url, { authProvider, fetch });
    return { client, transport, connecting: client.connect(transport) };
  },
  isUnauthorized: (error) => error instanceof UnauthorizedError,
  finish: (transport, callback) => transport.finishAuth(callback.get('code')),
  // It answers 403 with a refresh, which cannot widen the scope, and gives up on the second 403.
  stepsUp: false,
});
