// What the servers under Node share. Each takes its port as argument, says in one line of JSON how
// its tokens are asked for, and answers:
//   /echo          behind the guard;
//   /bench/codes   ?n=: so many bodies of requests to the token endpoint, each with a fresh code.
import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";

export const port = Number(process.argv[2]);
export const origin = `http://127.0.0.1:${port}`;
export const callback = "http://127.0.0.1/cb";

/** RFC 7636, appendix B. */
export const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
export const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

export const form = (fields) => new URLSearchParams(fields).toString();

export const redemption = (client_id, code, more) =>
  form({ grant_type: "authorization_code", code, client_id, redirect_uri: callback, code_verifier: verifier, ...more });

/** `count` codes from `one`, made one after the other. */
export async function codes(request, one) {
  const count = Number(new URL(request.url).searchParams.get("n"));
  const all = [];
  while (all.length < count) all.push(await one());
  return Response.json(all);
}

/** Serves what speaks in `Request` and `Response`, by way of the adapter that costs least. */
export function serve(hello, fetch) {
  listen(hello, getRequestListener(fetch));
}

export function listen(hello, listener) {
  createServer(listener).listen(port, "127.0.0.1", () => console.log(JSON.stringify(hello)));
}
