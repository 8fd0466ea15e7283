// Somebody else's issuer, on a free port of this machine: prints its address, then answers until its
// standard input ends.
//
// What a token is like is up to the resource it is asked for:
//   https://api.example.com/mcp           signed with RS256
//   https://api.example.com/other         the same, for another resource
//   https://api.example.com/opaque        opaque, for `/mcp`
//   https://api.example.com/opaque-other  opaque, for another resource
//   https://api.example.com/sign/ALG      signed with ALG, for `/mcp`
// POST /rotate makes new keys; POST /restart-with-none-of-them forgets the old ones.

import { createServer } from 'node:http';
import { createSecretKey, randomBytes } from 'node:crypto';

import { exportJWK, generateKeyPair } from 'jose';

// It warns of what would be wrong with it in production, from its first line on.
console.info = console.warn = () => {};
const { default: Provider } = await import('oidc-provider');

const API = 'https://api.example.com';
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'Ed25519', 'ES512'];

let generation = 0;
async function keys() {
  generation += 1;
  return Promise.all(ALGORITHMS.map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...await exportJWK(privateKey), alg, use: 'sig', kid: `${alg}-${generation}` };
  }));
}

function resourceServer(ctx, resource) {
  const path = resource.slice(API.length);
  const info = {
    scope: 'notes:read notes:write',
    audience: path.includes('other') ? `${API}/other` : `${API}/mcp`,
    accessTokenTTL: 60,
    accessTokenFormat: path.startsWith('/opaque') ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'RS256' } },
  };
  if (path.startsWith('/sign/')) {
    const alg = path.slice('/sign/'.length);
    const symmetric = alg.startsWith('HS');
    info.jwt.sign = symmetric ? { alg, key: createSecretKey(randomBytes(32)) } : { alg };
  }
  return info;
}

const client = (id) => ({
  client_id: id,
  client_secret: `secret of ${id}: +%`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

function provider(issuer, jwks) {
  return new Provider(issuer, {
    jwks: { keys: jwks },
    clients: [client('agent'), client('mcp server')],
    scopes: ['notes:read', 'notes:write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
    },
  });
}

const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  let jwks = await keys();
  let answer = provider(issuer, jwks).callback();
  let keySets = 0;
  server.on('request', async (request, response) => {
    if (request.url === '/rotate' || request.url === '/restart-with-none-of-them') {
      jwks = request.url === '/rotate' ? [...await keys(), ...jwks] : await keys();
      answer = provider(issuer, jwks).callback();
      response.end(String(keySets));
      return;
    }
    keySets += request.url === '/jwks' ? 1 : 0;
    answer(request, response);
  });
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
