// What every TypeScript client does, step by step; only how to connect differs.
//
//   node CLIENT.mjs first|second MCP_URL STATE_FILE
//
// `first` discovers, registers, signs in, calls the tools and refreshes. `second`, after the server
// was killed and started again, goes on with what `first` saved.

import assert from 'node:assert/strict';

import { ScriptedProvider } from './provider.mjs';

/** A `fetch` that remembers each request's method, path and status, and the last challenge. */
function recorder() {
  const calls = [];
  const record = async (input, init) => {
    const response = await fetch(input, init);
    calls.push({
      method: init?.method ?? 'GET',
      path: new URL(input.url ?? input).pathname,
      status: response.status,
      challenge: response.headers.get('www-authenticate'),
    });
    return response;
  };
  record.seen = (method, path, status) => calls.filter((c) => c.method === method && c.path === path && c.status === status);
  return record;
}

const textOf = (result) => {
  assert.ok(!result.isError, `the tool failed: ${JSON.stringify(result)}`);
  return result.content.map(({ text }) => text).join('');
};

/**
 * `connect(provider, mcpUrl, fetch)` gives `{ client, transport, connecting }`: connecting is a
 * promise that may reject with the client's "sign in first". `stepsUp` says whether this client
 * asks for more scope by itself when a call is refused for lack of it.
 */
export async function play({ name, connect, isUnauthorized, finish, stepsUp }) {
  const [phase, mcpUrl, stateFile] = process.argv.slice(2);
  const provider = new ScriptedProvider(name);
  const fetch = recorder();
  const summary = { client: name, phase };

  const open = async () => {
    const { client, transport, connecting } = connect(provider, new URL(mcpUrl), fetch);
    await connecting;
    return { client, transport };
  };
  const call = async ({ client }, tool, args = {}) => textOf(await client.callTool({ name: tool, arguments: args }));
  const useTools = async (session) => {
    summary.tools = (await session.client.listTools()).tools.map((tool) => tool.name).sort();
    assert.deepEqual(summary.tools, ['delete_note', 'echo', 'whoami']);
    assert.equal(await call(session, 'echo', { message: 'grüezi' }), 'grüezi');
    assert.equal(await call(session, 'whoami'), 'demo');
  };
  const refresh = async (session) => {
    const before = provider.tokens();
    const refreshes = fetch.seen('POST', '/oauth/token', 200).length;
    provider.spoilAccessToken();
    assert.equal(await call(session, 'whoami'), 'demo');
    const after = provider.tokens();
    assert.equal(fetch.seen('POST', '/oauth/token', 200).length, refreshes + 1, 'one token request');
    assert.notEqual(after.access_token, before.access_token);
    assert.notEqual(after.refresh_token, before.refresh_token, 'refresh tokens rotate');
    assert.equal(after.scope, before.scope, 'a refresh keeps the scope');
    summary.refreshed = true;
  };

  if (phase === 'first') {
    // Discovery, registration and the way to the sign-in page happen inside `connect`.
    const first = connect(provider, new URL(mcpUrl), fetch);
    await assert.rejects(first.connecting, isUnauthorized);
    const [{ challenge }] = fetch.seen('POST', new URL(mcpUrl).pathname, 401);
    assert.match(challenge, /^Bearer resource_metadata="/);
    assert.doesNotMatch(challenge, /error=/, 'no error where no credentials came');
    assert.equal(fetch.seen('POST', '/oauth/register', 201).length, 1);
    await finish(first.transport, await provider.signIn());
    summary.scope = provider.tokens().scope;
    assert.ok(provider.tokens().refresh_token, 'a refresh token');
    await first.client.close();

    const session = await open();
    await useTools(session);

    // This needs `notes:write`, which nobody asked for yet.
    const refused = call(session, 'delete_note', { message: 'none' });
    if (stepsUp) {
      await assert.rejects(refused, isUnauthorized);
      summary.askedFor = provider.authorizationUrl.searchParams.get('scope');
      await finish(session.transport, await provider.signIn());
      await call(session, 'delete_note', { message: 'none' });
      assert.match(provider.tokens().scope, /\bnotes:write\b/);
      summary.deleteNote = 'granted after step-up';
    } else {
      await assert.rejects(refused, /403/);
      summary.deleteNote = 'refused with 403';
    }
    const [{ challenge: stepUp }] = fetch.seen('POST', new URL(mcpUrl).pathname, 403);
    assert.match(stepUp, /error="insufficient_scope"/);
    assert.match(stepUp, /scope="[^"]*\bnotes:write\b/);

    await refresh(session);
    summary.protocol = session.client.getNegotiatedProtocolVersion?.() ?? session.transport.protocolVersion;
    await session.client.close();
  } else {
    await provider.load(stateFile);
    const session = await open();
    // The access token from before the kill, then the refresh token from before the kill.
    await useTools(session);
    assert.equal(fetch.seen('POST', '/oauth/token', 200).length, 0, 'the access token still counts');
    await refresh(session);
    await useTools(session);
    assert.equal(fetch.seen('POST', '/oauth/register', 201).length, 0, 'no second registration');
    summary.protocol = session.client.getNegotiatedProtocolVersion?.() ?? session.transport.protocolVersion;
    await session.client.close();
  }

  await provider.store(stateFile);
  console.log(JSON.stringify(summary));
}
