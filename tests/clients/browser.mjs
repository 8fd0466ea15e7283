// A person at a browser, without the browser: follows redirects, keeps cookies, fills in the forms
// that are really on the pages, and stops at the client's redirect URI.

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const decode = (text) =>
  text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    hex ? String.fromCodePoint(parseInt(hex, 16)) : decimal ? String.fromCodePoint(Number(decimal)) : (ENTITIES[name] ?? whole),
  );

const attributes = (tag) =>
  Object.fromEntries(
    [...tag.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)]
      .slice(1)
      .map(([, name, double, single, bare]) => [name.toLowerCase(), decode(double ?? single ?? bare ?? '')]),
  );

/** The first form of a page, if there is one: where it goes, its named inputs, and its buttons. */
export function parseForm(html) {
  const [, open, inside] = /(<form\b[^>]*>)([\s\S]*?)<\/form>/i.exec(html) ?? [];
  if (!open) return undefined;
  const form = attributes(open);
  const inputs = [...inside.matchAll(/<input\b[^>]*>/gi)].map(([tag]) => attributes(tag)).filter((input) => input.name);
  const buttons = [...inside.matchAll(/(<button\b[^>]*>)([\s\S]*?)<\/button>/gi)].map(([, tag, label]) => ({
    ...attributes(tag),
    label: decode(label).trim(),
  }));
  return { action: form.action ?? '', method: (form.method ?? 'get').toUpperCase(), inputs, buttons };
}

class Cookies {
  #jar = new Map();

  keep(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...rest] = line.split(';').map((part) => part.trim());
      const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      if (rest.some((part) => /^max-age=(0|-\d+)$/i.test(part))) this.#jar.delete(name);
      else this.#jar.set(name, value);
    }
  }

  get header() {
    return [...this.#jar].map(([name, value]) => `${name}=${value}`).join('; ');
  }
}

export class Person {
  #cookies = new Cookies();
  /** Titles of the pages seen, in order. */
  pages = [];

  constructor({ username = 'demo', password = username, decision = 'approve', fields = {} } = {}) {
    this.fields = { username, password, ...fields };
    this.decision = decision;
  }

  /** From the authorization URL to the client's redirect URI, which is returned and not fetched. */
  async authorize(authorizationUrl, redirectUri) {
    const { location } = await this.#walk(authorizationUrl, (target) => target.startsWith(redirectUri));
    if (!location) throw new Error(`never came back to ${redirectUri}; pages seen: ${this.pages.join(', ')}`);
    return location;
  }

  /** From a page to one where nothing is left to fill in; its HTML. */
  async browse(url) {
    const { html } = await this.#walk(url, () => false);
    return html;
  }

  async #walk(start, isGoal) {
    const origin = new URL(start).origin;
    let request = { url: new URL(start), method: 'GET' };
    for (let step = 0; step < 12; step += 1) {
      if (request.url.origin !== origin) throw new Error(`left ${origin} for ${request.url}`);
      const response = await this.#send(request, origin);
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location) {
        await response.body?.cancel();
        if (isGoal(location)) return { location: new URL(location) };
        request = { url: new URL(location, request.url), method: 'GET' };
      } else {
        const html = await response.text();
        const next = this.#fill(request.url, response.status, html);
        if (!next) return { html };
        request = next;
      }
    }
    throw new Error(`went round in circles; pages seen: ${this.pages.join(', ')}`);
  }

  async #send({ url, method, body }, origin) {
    const headers = { accept: 'text/html', cookie: this.#cookies.header, 'sec-fetch-site': 'same-origin' };
    if (method === 'POST') headers.origin = origin;
    const response = await fetch(url, { method, body, headers, redirect: 'manual' });
    this.#cookies.keep(response);
    return response;
  }

  #fill(url, status, html) {
    this.pages.push(/<title>([^<]*)/i.exec(html)?.[1].trim() ?? `HTTP ${status}`);
    if (status !== 200) throw new Error(`HTTP ${status} at ${url.pathname}: ${html.slice(0, 600)}`);
    const form = parseForm(html);
    if (!form) return undefined;
    const data = new URLSearchParams();
    for (const { name, value = '' } of form.inputs) data.append(name, this.fields[name] ?? value);
    const button = form.buttons.find(({ name, value }) => name === 'decision' && value === this.decision);
    if (button) data.append(button.name, button.value);
    return { url: new URL(form.action, url), method: form.method, body: data };
  }
}
