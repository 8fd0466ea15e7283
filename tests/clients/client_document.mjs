// MCP Inspector's command line as a client that never registers: its id is the address of its
// description, which it has published over TLS (Client ID Metadata Document).
//
//   CONFIGURED_CLIENT=ID:SECRET TLS=DIRECTORY node client_document.mjs ORIGIN WITHOUT_AUTHORITY
//
// The second origin does not trust the authority that vouches for the description.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort, run } from './cli.mjs';
import { INSPECTOR } from './inspector_cli.mjs';
import { steps } from './steps.mjs';

const [origin, withoutAuthority] = process.argv.slice(2);
const { step, print } = steps('MCP Inspector 2, described by a document');
const tls = (file) => readFile(join(process.env.TLS, file));

/** Publishes the description; where, and how often somebody looked. */
async function publish() {
  const seen = { requests: 0 };
  const server = createServer({ cert: await tls('localhost.pem'), key: await tls('localhost.key') }, (request, response) => {
    seen.requests += 1;
    const document = {
      client_id: seen.url,
      client_name: 'Inspector with a document',
      redirect_uris: ['http://127.0.0.1/oauth/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  seen.url = `https://localhost:${server.address().port}/client.json`;
  return { seen, close: () => server.closeAllConnections() ?? server.close() };
}

const home = await mkdtemp(join(tmpdir(), 'inspector-'));
const { seen, close } = await publish();
const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;
const env = { HOME: home, MCP_AUTO_OPEN_ENABLED: 'true', MCP_INSPECTOR_SECRET_STORE: 'file', BROWSER: 'true' };

/** A tool's text, and how often somebody had to sign in. */
async function call(tool, ...args) {
  const { status, stdout, stderr, answers } = await run(
    process.execPath,
    [
      ...[INSPECTOR, '--cli', '--server-url', `${origin}/mcp`, '--transport', 'http', '--callback-url', callback],
      ...['--client-metadata-url', seen.url, '--method', 'tools/call', '--tool-name', tool, '--format', 'json', ...args],
    ],
    { env },
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const { result } = JSON.parse(stdout);
  assert.ok(!result.isError, stdout);
  return { text: result.content[0].text, signIns: answers.length };
}

/** Whose the token is that it keeps. */
async function owner() {
  const { secrets } = JSON.parse(await readFile(join(home, '.mcp-inspector/secrets.json'), 'utf8'));
  const [key] = Object.keys(secrets).filter((name) => name.includes(':tokens:'));
  const { access_token } = JSON.parse(secrets[key]);
  const response = await fetch(`${origin}/oauth/introspect`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(process.env.CONFIGURED_CLIENT)}` },
    body: new URLSearchParams({ token: access_token }),
  });
  return (await response.json()).client_id;
}

/** What a browser gets that an authorization begins in. */
async function begin(server) {
  const url = new URL(`${server}/oauth/authorize`);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: seen.url,
    redirect_uri: callback,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    resource: `${server}/mcp`,
  });
  const response = await fetch(url, { headers: { accept: 'text/html' }, redirect: 'manual' });
  return { status: response.status, page: await response.text() };
}

try {
  await step('unknown authority', true, async () => {
    const { status, page } = await begin(withoutAuthority);
    assert.equal(status, 400, page);
    assert.match(page, /gives no client metadata document now/);
    assert.equal(seen.requests, 0, 'nothing was asked of a server that may be anyone');
    assert.equal((await begin(origin)).status, 303);
    seen.requests = 0;
  });
  await step('sign-in and tool call', true, async () => assert.deepEqual(await call('whoami'), { text: 'demo', signIns: 1 }));
  await step('the address is the client', true, async () => assert.equal(await owner(), seen.url));
  await step('the document is kept', true, async () => assert.equal(seen.requests, 0));
  await step('stored token', true, async () => assert.deepEqual(await call('whoami', '--stored-auth-only'), { text: 'demo', signIns: 0 }));
} finally {
  close();
  await rm(home, { recursive: true, force: true });
}
print();
