// A client's steps, each run where the server's metadata offers it. What is not offered is reported
// as such, and becomes a real step once it is.

export function steps(client) {
  const done = {};
  return {
    async step(name, offered, body) {
      if (!offered) {
        done[name] = 'not offered';
        return undefined;
      }
      try {
        const result = await body();
        done[name] = 'passed';
        return result;
      } catch (error) {
        error.message = `${client}: ${name}: ${await explain(error)}`;
        throw error;
      }
    },
    print() {
      console.log(JSON.stringify({ client, steps: done }));
    },
  };
}

/** What these clients throw keeps the response as its cause. */
async function explain({ message, cause }) {
  if (!(cause instanceof Response)) return message;
  const body = cause.bodyUsed ? '(read)' : await cause.text();
  return `${message}: ${cause.status} ${cause.url} ${JSON.stringify([...cause.headers])} ${body}`;
}

/** One tool call, in the protocol that needs no session. */
export function toolCall(name, args = {}) {
  const headers = new Headers({
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': name,
  });
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'script', version: '1.0.0' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args, _meta: meta } });
  return { headers, body };
}

/** The text of the result, whether it comes as JSON or as a stream. */
export async function toolText(response) {
  const text = await response.text();
  if (response.status !== 200) throw new Error(`HTTP ${response.status}: ${text}`);
  const messages = response.headers.get('content-type').startsWith('text/event-stream')
    ? text.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)))
    : [JSON.parse(text)];
  const { result } = messages.find(({ id }) => id === 1);
  if (!result || result.isError) throw new Error(`the tool failed: ${text}`);
  return result.content.map((part) => part.text).join('');
}
