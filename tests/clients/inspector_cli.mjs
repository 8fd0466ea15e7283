// Where MCP Inspector's command line is.

import { fileURLToPath } from 'node:url';

export const INSPECTOR = fileURLToPath(new URL('node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url));
