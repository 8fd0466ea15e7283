// MCP Inspector's command line.
//
//   node inspector.mjs ORIGIN

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort, run } from './cli.mjs';
import { INSPECTOR } from './inspector_cli.mjs';
import { steps } from './steps.mjs';

const [origin] = process.argv.slice(2);
const { step, print } = steps('MCP Inspector 2');
const home = await mkdtemp(join(tmpdir(), 'inspector-'));
const secrets = join(home, '.mcp-inspector/secrets.json');
const storage = join(home, '.mcp-inspector/storage/oauth.json');
const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;
const env = { HOME: home, MCP_AUTO_OPEN_ENABLED: 'true', MCP_INSPECTOR_SECRET_STORE: 'file', BROWSER: 'true' };

/** A tool's text, and how often somebody had to sign in. */
async function call(tool, ...args) {
  const { status, stdout, stderr, answers } = await run(
    process.execPath,
    [
      ...[INSPECTOR, '--cli', '--server-url', `${origin}/mcp`, '--transport', 'http', '--callback-url', callback],
      ...['--method', 'tools/call', '--tool-name', tool, '--format', 'json', ...args],
    ],
    { env },
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const { result } = JSON.parse(stdout);
  assert.ok(!result.isError, stdout);
  return { text: result.content[0].text, signIns: answers.length };
}

/** What it keeps for our server. */
async function kept() {
  const file = JSON.parse(await readFile(secrets, 'utf8'));
  const [key] = Object.keys(file.secrets).filter((name) => name.includes(':tokens:'));
  return { file, key, tokens: JSON.parse(file.secrets[key]) };
}

const ping = (token) => fetch(`${origin}/mcp`, { headers: { authorization: `Bearer ${token}` } });

try {
  await step('sign-in and tool call', true, async () => assert.deepEqual(await call('whoami'), { text: 'demo', signIns: 1 }));
  await step('stored token', true, async () => assert.deepEqual(await call('whoami', '--stored-auth-only'), { text: 'demo', signIns: 0 }));
  await step('stored token, MCP 2026-07-28', true, async () =>
    assert.deepEqual(await call('whoami', '--stored-auth-only', '--protocol-era', 'modern'), { text: 'demo', signIns: 0 }),
  );
  await step('tool that takes more scope', true, async () =>
    assert.deepEqual(await call('delete_note', '--tool-arg', 'message=none'), { text: 'There was no such note.', signIns: 0 }),
  );
  await step('refresh', true, async () => {
    const { file, key, tokens } = await kept();
    file.secrets[key] = JSON.stringify({ ...tokens, access_token: `${tokens.access_token.slice(0, -4)}AAAA` });
    await writeFile(secrets, JSON.stringify(file));
    assert.deepEqual(await call('whoami'), { text: 'demo', signIns: 0 });
    assert.notEqual((await kept()).tokens.refresh_token, tokens.refresh_token);
  });
  await step('revocation and another sign-in', true, async () => {
    const { tokens } = await kept();
    // It looks for the endpoint in a place that its own sign-in does not fill.
    const state = JSON.parse(await readFile(storage, 'utf8'));
    for (const server of Object.values(state.servers)) server.serverMetadata = server.discoveryState.authorizationServerMetadata;
    await writeFile(storage, JSON.stringify(state));
    assert.notEqual((await ping(tokens.access_token)).status, 401);
    assert.deepEqual(await call('whoami', '--relogin'), { text: 'demo', signIns: 1 });
    assert.equal((await ping(tokens.access_token)).status, 401, 'what was revoked is dead');
  });
} finally {
  await rm(home, { recursive: true, force: true });
}
print();
