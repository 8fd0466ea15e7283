// `@modelcontextprotocol/client` 2, in the newest protocol (2026-07-28), or with `MODE=legacy` in a
// session, as the protocol had it before.

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

import { play } from './scenario.mjs';

const mode = process.env.MODE === 'legacy' ? 'legacy' : { pin: '2026-07-28' };

await play({
  name: '@modelcontextprotocol/client 2',
  connect(authProvider, url, fetch) {
    const client = new Client(
      { name: 'script', version: '1.0.0' },
      { versionNegotiation: { mode } },
    );
    const transport = new StreamableHTTPClientTransport(url, { authProvider, fetch });
    return { client, transport, connecting: client.connect(transport) };
  },
  isUnauthorized: (error) => error instanceof UnauthorizedError || error.cause instanceof UnauthorizedError,
  finish: (transport, callback) => transport.finishAuth(callback),
  stepsUp: true,
});
