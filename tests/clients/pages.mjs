// The sign-in, consent and device pages in Chromium.
//
//   node pages.mjs CASE ORIGIN SCREENSHOT_DIR
//
// Each case is one behaviour, named below; it prints one line of JSON or fails.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const PATIENCE = 20_000;

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const CURSOR = 'cursor://anysphere.cursor-mcp/oauth/callback';

const [name, origin, screenshots] = process.argv.slice(2);

/** A promise that gives up, and says on what. */
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${PATIENCE} ms`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A client's own listener; `onward` is where its callback sends the browser next. */
async function listen(onward) {
  const arrivals = [];
  const waiting = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    if (url.pathname !== '/callback') {
      response.writeHead(404).end();
      return;
    }
    if (onward) response.writeHead(302, { location: onward }).end();
    else response.writeHead(200, { 'content-type': 'text/html' }).end('<title>Back</title>You can close this window.');
    const waiter = waiting.shift();
    if (waiter) waiter(url.searchParams);
    else arrivals.push(url.searchParams);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    redirectUri: `http://127.0.0.1:${server.address().port}/callback`,
    arrival: () =>
      soon(arrivals.length ? arrivals.shift() : new Promise((resolve) => waiting.push(resolve)), 'the redirect to the client'),
    close: () => server.closeAllConnections() ?? server.close(),
  };
}

/** Registers a client as programs do, and builds its authorization request. */
async function client(redirectUri, clientName = 'Page test') {
  const registered = await fetch(`${origin}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: clientName,
      redirect_uris: [redirectUri],
      post_logout_redirect_uris: [redirectUri],
      token_endpoint_auth_method: 'none',
    }),
  });
  assert.equal(registered.status, 201, await registered.clone().text());
  const { client_id } = await registered.json();
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(8).toString('hex');
  const url = new URL(`${origin}/oauth/authorize`);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id,
    redirect_uri: redirectUri,
    scope: 'notes:read',
    state,
    resource: `${origin}/mcp`,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const exchange = (code) =>
    fetch(`${origin}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'authorization_code', code, client_id, redirect_uri: redirectUri, code_verifier: verifier }),
    });
  return { client_id, url: url.href, state, exchange };
}

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** Begins as a program on a device without a browser does. */
async function device(clientName) {
  const registered = await fetch(`${origin}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: clientName, grant_types: [DEVICE_GRANT], token_endpoint_auth_method: 'none' }),
  });
  assert.equal(registered.status, 201, await registered.clone().text());
  const { client_id } = await registered.json();
  const post = (endpoint, params) =>
    fetch(`${origin}/oauth/${endpoint}`, { method: 'POST', body: new URLSearchParams({ client_id, ...params }) });
  const begun = await post('device-authorization', { scope: 'notes:read', resource: `${origin}/mcp` });
  assert.equal(begun.status, 200, await begun.clone().text());
  const { device_code, ...rest } = await begun.json();
  return { ...rest, poll: () => post('token', { grant_type: DEVICE_GRANT, device_code }) };
}

/** What the browser says about the content security policy, on any page of the context. */
function watchPolicy(context) {
  const complaints = [];
  context.on('console', (message) => {
    if (/content security policy|refused to|violates/i.test(message.text())) complaints.push(message.text());
  });
  return complaints;
}

async function signIn(page, password = 'demo') {
  await page.getByLabel('Username').fill('demo');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const approve = (page) => page.getByRole('button', { name: 'Approve' });
const deny = (page) => page.getByRole('button', { name: 'Deny' });

/** The requests that left for another scheme, seen below the page: no program takes them here. */
async function watchScheme(page, scheme) {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Page.enable');
  const left = new Promise((resolve) => {
    const look = ({ request, url }) => {
      const target = request?.url ?? url;
      if (target?.startsWith(`${scheme}:`)) resolve(new URL(target));
    };
    session.on('Network.requestWillBeSent', look);
    session.on('Page.frameRequestedNavigation', look);
    session.on('Page.frameStartedNavigating', look);
  });
  return () => soon(left, `the redirect to ${scheme}:`);
}

function assertAnswer(params, state) {
  assert.equal(params.get('state'), state);
  assert.equal(params.get('iss'), origin);
}

const cases = {
  /** Sign in, approve, and land on the client's callback with a code that gives tokens. */
  async approve({ context, page }) {
    const callback = await listen();
    const { url, state, exchange } = await client(callback.redirectUri);
    await page.goto(url);
    await page.screenshot({ path: join(screenshots, 'sign-in.png') });
    await signIn(page);
    await approve(page).waitFor();
    await page.screenshot({ path: join(screenshots, 'consent.png') });
    assert.match(await page.locator('body').innerText(), /127\.0\.0\.1/, 'the page says where the answer goes');
    await approve(page).click();
    const params = await callback.arrival();
    assertAnswer(params, state);
    const tokens = await exchange(params.get('code'));
    assert.equal(tokens.status, 200, await tokens.clone().text());
    await page.getByText('You can close this window.').waitFor();
    assert.deepEqual((await context.cookies()).filter((cookie) => !cookie.httpOnly || cookie.sameSite !== 'Lax'), []);
    callback.close();
  },

  /** Deny is an answer too. */
  async deny({ page }) {
    const callback = await listen();
    const { url, state } = await client(callback.redirectUri);
    await page.goto(url);
    await signIn(page);
    await deny(page).click();
    const params = await callback.arrival();
    assertAnswer(params, state);
    assert.equal(params.get('error'), 'access_denied');
    assert.equal(params.get('code'), null);
    callback.close();
  },

  /** A wrong password says so, shows the form again, and the right one goes on from there. */
  async 'wrong-password'({ page }) {
    const callback = await listen();
    const { url, state } = await client(callback.redirectUri);
    await page.goto(url);
    const answer = page.waitForResponse((response) => response.request().method() === 'POST');
    await signIn(page, 'guess');
    assert.equal((await answer).status(), 401);
    await page.getByRole('alert').waitFor();
    await page.screenshot({ path: join(screenshots, 'wrong-password.png') });
    await signIn(page);
    await approve(page).click();
    assertAnswer(await callback.arrival(), state);
    callback.close();
  },

  /** Two clients at once in one browser: each tab finishes its own request. */
  async 'two-tabs'({ context, page }) {
    const callback = await listen();
    const [one, two] = [await client(callback.redirectUri, 'One'), await client(callback.redirectUri, 'Two')];
    const other = await context.newPage();
    await page.goto(one.url);
    await other.goto(two.url);
    await signIn(page);
    await signIn(other);
    await approve(other).click();
    assertAnswer(await callback.arrival(), two.state);
    await approve(page).click();
    assertAnswer(await callback.arrival(), one.state);
    callback.close();
  },

  /** The same with both tabs opened in one moment, in a browser that was never here. */
  async 'tabs-opened-at-once'({ context, page }) {
    const callback = await listen();
    const requests = [await client(callback.redirectUri, 'One'), await client(callback.redirectUri, 'Two')];
    const tabs = [page, await context.newPage()];
    await Promise.all(tabs.map((tab, i) => tab.goto(requests[i].url)));
    for (const tab of tabs) await signIn(tab);
    for (const [i, tab] of tabs.entries()) {
      await approve(tab).click();
      assertAnswer(await callback.arrival(), requests[i].state);
    }
    callback.close();
  },

  /** A client that listens on a scheme of its own. */
  async 'private-scheme'({ page }) {
    const { url, state } = await client(CURSOR, 'Cursor');
    await page.goto(url);
    await signIn(page);
    const left = await watchScheme(page, 'cursor');
    await approve(page).click();
    const target = await left();
    assert.equal(`${target.protocol}//${target.host}${target.pathname}`, CURSOR);
    assert.ok(target.searchParams.get('code'));
    assertAnswer(target.searchParams, state);
  },

  /** A callback that hands on to a scheme of its own: Chromium applies `form-action` to that hop too. */
  async onward({ page }) {
    const callback = await listen('cursor://anysphere.cursor-mcp/signed-in');
    const { url, state } = await client(callback.redirectUri);
    await page.goto(url);
    await signIn(page);
    const left = await watchScheme(page, 'cursor');
    await approve(page).click();
    assertAnswer(await callback.arrival(), state);
    assert.equal((await left()).href, 'cursor://anysphere.cursor-mcp/signed-in');
    callback.close();
  },

  /** Each page has a language, a title, a heading, a main part and names for what can be used. */
  async accessible({ page }) {
    const callback = await listen();
    const { url } = await client(callback.redirectUri);
    const check = async (controls) => {
      assert.ok(await page.locator('html').getAttribute('lang'));
      assert.ok(await page.title());
      assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
      assert.equal(await page.getByRole('main').count(), 1);
      for (const control of controls) assert.equal(await control.count(), 1);
      const unnamed = await page.locator('input:not([type=hidden]), button, a').evaluateAll((elements) =>
        elements.filter((e) => !(e.labels?.length || e.ariaLabel || e.innerText?.trim())).map((e) => e.outerHTML),
      );
      assert.deepEqual(unnamed, []);
    };
    await page.goto(url);
    await check([page.getByLabel('Username'), page.getByLabel('Password'), page.getByRole('button', { name: 'Sign in' })]);
    await signIn(page);
    await approve(page).waitFor();
    await check([approve(page), deny(page)]);
    callback.close();
  },

  /** The pages have no scripts, and need none. */
  async 'without-scripts'({ browser }) {
    const callback = await listen();
    const { url, state } = await client(callback.redirectUri);
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(url);
    assert.equal(await page.locator('script').count(), 0);
    await signIn(page);
    await approve(page).waitFor();
    assert.equal(await page.locator('script').count(), 0);
    await approve(page).click();
    assertAnswer(await callback.arrival(), state);
    callback.close();
  },

  /** The keyboard is enough: the cursor is in the first field, Enter signs in, Tab reaches the buttons. */
  async keyboard({ page }) {
    const callback = await listen();
    const { url, state } = await client(callback.redirectUri);
    await page.goto(url);
    // A browser moves the cursor when it first draws the page, which may be after it has loaded.
    await page.locator('input:focus').waitFor();
    await page.keyboard.type('demo');
    await page.keyboard.press('Tab');
    await page.keyboard.type('demo');
    await page.keyboard.press('Enter');
    await approve(page).waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
    for (let presses = 0; presses < 10 && (await focused()) !== 'Approve'; presses += 1) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    const params = await callback.arrival();
    assertAnswer(params, state);
    assert.ok(params.get('code'));
    callback.close();
  },

  /** A device: its link leads by way of the sign-in to its code, which a person has to confirm twice. */
  async device({ page }) {
    const begun = await device('Television');
    await page.goto(begun.verification_uri_complete);
    await signIn(page);
    const field = page.getByLabel('The code that your device shows');
    assert.equal(await field.inputValue(), begun.user_code);
    await field.fill('BBBB');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('alert').waitFor();
    await page.screenshot({ path: join(screenshots, 'device-code.png') });
    await page.getByLabel('The code that your device shows').fill(begun.user_code.toLowerCase().replace('-', ' '));
    await page.keyboard.press('Enter');
    await approve(page).waitFor();
    await page.screenshot({ path: join(screenshots, 'device-confirm.png') });
    const text = await page.getByRole('main').innerText();
    for (const shown of ['Television', begun.user_code, 'demo', 'Approve only if you started this']) assert.ok(text.includes(shown), text);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
    assert.equal(await deny(page).count(), 1);
    assert.equal((await begun.poll()).status, 400);
    await approve(page).click();
    await page.getByText('You can go back to your device').waitFor();
    await page.screenshot({ path: join(screenshots, 'device-done.png') });
    const tokens = await begun.poll();
    assert.equal(tokens.status, 200, await tokens.clone().text());
  },

  /** A form on another site, which cookies do not come along with: its user is asked, and comes back. */
  async 'sign-out'({ context, page }) {
    const callback = await listen();
    const { client_id, url } = await client(callback.redirectUri, 'Another site');
    await page.goto(url);
    await signIn(page);
    await deny(page).click();
    await callback.arrival();
    const fields = { client_id, post_logout_redirect_uri: callback.redirectUri, state: 'gone' };
    const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
    const form = `<title>Elsewhere</title><form method="post" action="${origin}/oauth/end-session">${inputs.join('')}<button>Leave</button></form>`;
    const elsewhere = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(form));
    elsewhere.listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const leave = async () => {
      await page.goto(`http://localhost:${elsewhere.address().port}/`);
      const answered = page.waitForResponse((response) => response.request().method() === 'POST');
      await page.getByRole('button', { name: 'Leave' }).click();
      // What the browser really sent is known for sure once there is an answer to it.
      const headers = await (await answered).request().allHeaders();
      assert.equal(headers['sec-fetch-site'], 'cross-site');
    };
    await leave();
    const stay = page.getByRole('button', { name: 'Stay signed in' });
    await stay.waitFor();
    await page.screenshot({ path: join(screenshots, 'sign-out.png') });
    const text = await page.getByRole('main').innerText();
    for (const shown of ['Do you want to sign out?', 'demo', 'Another site', '127.0.0.1']) assert.ok(text.includes(shown), text);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
    await stay.click();
    await page.getByText('Nothing has changed.').waitFor();
    const isSession = ({ name }) => name.startsWith('notes-');
    assert.equal((await context.cookies()).filter(isSession).length, 1);
    await leave();
    await page.getByRole('button', { name: 'Sign out' }).click();
    assert.equal((await callback.arrival()).get('state'), 'gone');
    assert.deepEqual((await context.cookies()).filter(isSession), []);
    await page.goto(url);
    await page.getByLabel('Username').waitFor();
    elsewhere.close();
    elsewhere.closeAllConnections();
    callback.close();
  },

  /** A redirect URI nobody registered: a page here, and no redirect. */
  async 'error-page'({ page }) {
    const { url } = await client('http://127.0.0.1/callback');
    const other = new URL(url);
    other.searchParams.set('redirect_uri', 'https://evil.example/callback');
    const response = await page.goto(other.href);
    assert.equal(response.status(), 400);
    assert.equal(new URL(page.url()).origin, origin);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
    await page.screenshot({ path: join(screenshots, 'error.png') });
  },
};

const run = cases[name];
assert.ok(run, `no such case: ${name}; there are ${Object.keys(cases).join(', ')}`);
const profile = await mkdtemp(join(tmpdir(), 'pages-'));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: FLAGS,
  env: { ...process.env, HOME: profile },
});
try {
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE);
  const complaints = watchPolicy(context);
  const page = await context.newPage();
  await run({ browser, context, page }).catch((error) => {
    throw new Error(`${error.message}; the browser says: ${complaints.join('; ') || 'nothing'}`, { cause: error });
  });
  assert.deepEqual(complaints, [], 'no complaint about the content security policy');
  console.log(JSON.stringify({ case: name, browser: browser.version() }));
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
