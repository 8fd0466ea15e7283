// A reverse proxy that adds a token to every request and changes nothing else: not the Host header,
// not a byte of the bodies, and it holds nothing back.

import { once } from 'node:events';
import http from 'node:http';
import { pipeline } from 'node:stream';

/** Listens on a free port; where, and what it has counted. */
export async function tokenProxy(target, token) {
  const { hostname, port } = new URL(target);
  const agent = new http.Agent({ keepAlive: true });
  const seen = { requests: 0, refused: 0 };
  const server = http.createServer((request, response) => {
    seen.requests += 1;
    const headers = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const [name, value] = request.rawHeaders.slice(i, i + 2);
      if (name.toLowerCase() !== 'authorization') headers.push(name, value);
    }
    headers.push('Authorization', `Bearer ${token}`);
    const onward = http.request({ agent, hostname, port, method: request.method, path: request.url, headers, setHost: false });
    onward.on('response', (answer) => {
      if (answer.headers['www-authenticate']) seen.refused += 1;
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
      response.flushHeaders();
      pipeline(answer, response, () => {});
    });
    // One side's end is the other's, or a stream that was given up would stay open.
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    pipeline(request, onward, () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, seen, close: () => server.closeAllConnections() ?? server.close() };
}
