// The store and the browser of a script client: what both TypeScript SDKs ask of a host program.

import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

import { Person } from './browser.mjs';

const REDIRECT_URI = 'http://127.0.0.1:33418/callback';

export class ScriptedProvider {
  #state;
  #verifier;
  #authorizationUrl;
  /** What outlives the process. */
  saved = {};

  constructor(name) {
    this.name = name;
  }

  async load(file) {
    this.saved = JSON.parse(await readFile(file, 'utf8'));
  }

  async store(file) {
    await writeFile(file, JSON.stringify(this.saved));
  }

  get redirectUrl() {
    return REDIRECT_URI;
  }

  get clientMetadata() {
    return {
      client_name: this.name,
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    return (this.#state = randomUUID());
  }

  clientInformation() {
    return this.saved.client;
  }

  saveClientInformation(client) {
    this.saved.client = client;
  }

  tokens() {
    return this.saved.tokens;
  }

  saveTokens(tokens) {
    this.saved.tokens = tokens;
  }

  discoveryState() {
    return this.saved.discovery;
  }

  saveDiscoveryState(discovery) {
    this.saved.discovery = discovery;
  }

  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  codeVerifier() {
    return this.#verifier;
  }

  redirectToAuthorization(url) {
    this.#authorizationUrl = url;
  }

  /** Where the client sent the browser last. */
  get authorizationUrl() {
    return this.#authorizationUrl;
  }

  /** Signs in and approves as a person would; the parameters that arrive at the redirect URI. */
  async signIn() {
    const { searchParams } = await new Person().authorize(this.#authorizationUrl, REDIRECT_URI);
    if (searchParams.get('error')) throw new Error(`refused: ${searchParams}`);
    if (searchParams.get('state') !== this.#state) throw new Error(`another state came back: ${searchParams}`);
    if (searchParams.get('iss') !== this.#authorizationUrl.origin) throw new Error(`wrong iss: ${searchParams}`);
    return searchParams;
  }

  /** As if the access token had expired: the next call is answered 401 and the client refreshes. */
  spoilAccessToken() {
    const { access_token: token } = this.saved.tokens;
    this.saved.tokens = { ...this.saved.tokens, access_token: `${token.slice(0, -4)}AAAA` };
  }
}
