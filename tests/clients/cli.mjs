// Programs that run by themselves and print an authorization URL for somebody to open.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

import { Person } from './browser.mjs';

/**
 * Reads what a program prints; whatever authorization URL is in it is opened, the forms are filled
 * in, and the program's own listener gets the answer. Call the result for all that came of it.
 */
export function watch(streams, person = new Person()) {
  const walks = new Map();
  const printed = streams.map(() => '');
  streams.forEach((stream, index) => {
    stream.setEncoding('utf8').on('data', (text) => {
      printed[index] += text;
      for (const [url] of printed[index].matchAll(/https?:\/\/\S+\/authorize\?[^\s"'<>]+(?=\s)/g)) {
        if (!walks.has(url)) walks.set(url, walk(person, url));
      }
    });
  });
  return async () => ({ printed, answers: await Promise.all(walks.values()) });
}

async function walk(person, url) {
  const redirectUri = new URL(url).searchParams.get('redirect_uri');
  const answer = await person.authorize(url, redirectUri);
  await (await fetch(answer)).arrayBuffer();
  return answer;
}

/** Runs a program to its end, with a person at its side. */
export async function run(program, args, { env = {}, input } = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  child.stdin?.end(input);
  const watched = watch([child.stdout, child.stderr]);
  const [status] = await once(child, 'close');
  // A walk that failed says more than a program that waited for it in vain.
  const { printed, answers } = await watched();
  return { status, stdout: printed[0], stderr: printed[1], answers };
}

/** A port that was free a moment ago, for programs that want to be told one. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
