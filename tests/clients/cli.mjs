// Programs that run by themselves and print an authorization URL for somebody to open.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { Person } from './browser.mjs';

/**
 * Runs a program and is the person at its side: whatever authorization URL it prints is opened,
 * the forms are filled in, and the program's own listener gets the answer.
 */
export async function run(program, args, { env = {}, input, person = new Person() } = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  child.stdin?.end(input);
  const output = { stdout: '', stderr: '' };
  const walked = new Map();
  const look = () => {
    for (const [url] of (output.stdout + '\n' + output.stderr).matchAll(/https?:\/\/\S+\/authorize\?[^\s"'<>]+(?=\s)/g)) {
      if (!walked.has(url)) walked.set(url, walk(person, url));
    }
  };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text;
      look();
    });
  }
  const [status] = await once(child, 'close');
  // A walk that failed says more than a program that waited for it in vain.
  const answers = await Promise.all(walked.values());
  return { status, ...output, authorizations: [...walked.keys()].map((url) => new URL(url)), answers };
}

async function walk(person, url) {
  const redirectUri = new URL(url).searchParams.get('redirect_uri');
  const answer = await person.authorize(url, redirectUri);
  const page = await fetch(answer);
  await page.arrayBuffer();
  return answer;
}
