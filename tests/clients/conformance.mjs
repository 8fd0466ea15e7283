// MCP's conformance suite.
//
//   node conformance.mjs server ORIGIN SPEC_VERSION
//   node conformance.mjs authorization ORIGIN CLIENT_ID SPEC_VERSION
//
// The server suite has no way to send a token, so a proxy adds one.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort, run } from './cli.mjs';
import { signIn } from './oauth.mjs';
import { tokenProxy } from './token_proxy.mjs';

const SUITE = fileURLToPath(new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));

const [mode, origin, ...rest] = process.argv.slice(2);
const results = await mkdtemp(join(tmpdir(), 'conformance-'));

/** Every check of every scenario, from the files that the suite leaves behind. */
async function checks() {
  const files = await readdir(results, { recursive: true });
  const lists = files.filter((file) => file.endsWith('checks.json')).map(async (file) => JSON.parse(await readFile(join(results, file), 'utf8')));
  return (await Promise.all(lists)).flat();
}

async function suite(args) {
  const { status, stdout, stderr, answers } = await run(process.execPath, [SUITE, ...args, '-o', results]);
  const [, passed, failed] = /^Total: (\d+) passed, (\d+) failed/m.exec(stdout) ?? [];
  const bad = (await checks()).filter(({ status: result }) => result === 'FAILURE');
  assert.equal(status, 0, `${JSON.stringify(bad, null, 2)}\n${stdout}\n${stderr}`);
  assert.equal(Number(failed), 0, stdout);
  const warnings = (await checks()).filter(({ status: result }) => result === 'WARNING').map(({ id }) => id);
  return { passed: Number(passed), warnings, answers };
}

const modes = {
  async server([version]) {
    const token = await signIn(origin, { scope: 'mcp:use mcp:fail', resource: `${origin}/mcp` });
    const proxy = await tokenProxy(origin, token.access_token);
    const { passed, warnings } = await suite(['server', '--url', `${proxy.url}/mcp`, '--suite', 'all', '--spec-version', version]);
    proxy.close();
    assert.ok(proxy.seen.requests > passed / 2, 'the suite went through the proxy');
    assert.equal(proxy.seen.refused, 0, 'the layer challenged nobody who had a token');
    return { suite: 'server', version, passed, warnings, requests: proxy.seen.requests };
  },

  async authorization([clientId, version]) {
    const resource = `${origin}/mcp`;
    const { passed, warnings, answers } = await suite([
      ...['authorization', '--url', origin, '--client-id', clientId, '-p', `${await freePort()}`],
      ...['--resource', resource, '--spec-version', version],
    ]);
    assert.equal(answers.length, 1, 'one person signed in, once');
    return { suite: 'authorization', version, passed, warnings };
  },
};

try {
  console.log(JSON.stringify(await modes[mode](rest)));
} finally {
  await rm(results, { recursive: true, force: true });
}
