// mcp-remote, which stands between servers like ours and the host programs that only know stdio.
//
//   node mcp_remote.mjs ORIGIN

import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

import { freePort, watch } from './cli.mjs';
import { steps } from './steps.mjs';

const PROXY = fileURLToPath(new URL('node_modules/mcp-remote/dist/proxy.js', import.meta.url));

const [origin] = process.argv.slice(2);
const { step, print } = steps('mcp-remote 0.15');
const home = await mkdtemp(join(tmpdir(), 'mcp-remote-'));
const port = `${await freePort()}`;

/** As a host program starts it; how often somebody had to sign in. */
async function session(use) {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [PROXY, `${origin}/mcp`, port, '--allow-http', '--transport', 'http-only'],
    env: { ...process.env, HOME: home, MCP_REMOTE_CONFIG_DIR: home, BROWSER: 'true' },
    stderr: 'pipe',
  });
  const watched = watch([transport.stderr]);
  const client = new Client({ name: 'host', version: '1.0.0' });
  try {
    await client.connect(transport);
    await use(client);
  } catch (error) {
    error.message += `\n${(await watched()).printed.join('')}`;
    throw error;
  } finally {
    await client.close();
  }
  return (await watched()).answers.length;
}

async function useTools(client) {
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map(({ name }) => name).sort(), ['delete_note', 'echo', 'whoami']);
  const { content } = await client.callTool({ name: 'whoami', arguments: {} });
  assert.equal(content[0].text, 'demo');
}

/** Where it keeps its tokens, and what they are. */
async function kept() {
  const [file] = (await readdir(home, { recursive: true })).filter((name) => name.endsWith('_tokens.json'));
  return { path: join(home, file), tokens: JSON.parse(await readFile(join(home, file), 'utf8')) };
}

try {
  await step('sign-in and tool calls', true, async () => assert.equal(await session(useTools), 1));
  await step('again with what it kept', true, async () => assert.equal(await session(useTools), 0));
  await step('refresh', true, async () => {
    const { path, tokens } = await kept();
    await writeFile(path, JSON.stringify({ ...tokens, expires_at: 1 }));
    assert.equal(await session(useTools), 0);
    const next = (await kept()).tokens;
    assert.notEqual(next.access_token, tokens.access_token);
    assert.notEqual(next.refresh_token, tokens.refresh_token);
  });
} finally {
  await rm(home, { recursive: true, force: true });
}
print();
