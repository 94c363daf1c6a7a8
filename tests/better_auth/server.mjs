// npm better-auth on loopback: a program, run by `better_auth_server.py`.
//
// One line of JSON on stdin says what to serve, one line of JSON on stdout says where it is served;
// the end of stdin ends the program, so that it never outlives the tests.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

console.info = console.log = console.warn = console.error; // stdout is for one line alone

const { betterAuth } = await import('better-auth');
const { memoryAdapter } = await import('better-auth/adapters/memory');
const { toNodeHandler, fromNodeHeaders } = await import('better-auth/node');
const { jwt } = await import('better-auth/plugins');
const { oauthDeviceAuthorization, oauthProvider } = await import('@better-auth/oauth-provider');

const KEPT = ['user', 'account', 'jwks', 'oauthClient']; // by a reset
const TABLES = [
  ...KEPT, 'session', 'verification', 'deviceCode', 'oauthAccessToken', 'oauthClientAssertion',
  'oauthClientResource', 'oauthConsent', 'oauthRefreshToken', 'oauthResource',
];
const BASE = '/api/auth';
const tables = Object.fromEntries(TABLES.map((name) => [name, []]));
const log = []; // "METHOD path?query" of everything but the tests' own requests of /test
let root;
let auth;
let handler;

function start({ lifetimes, interval }) {
  auth = betterAuth({
    baseURL: `${root}${BASE}`,
    secret: 'known to everybody: this server is a test',
    database: memoryAdapter(tables),
    emailAndPassword: { enabled: true },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    plugins: [
      jwt(),
      oauthProvider({
        loginPage: '/login',
        consentPage: '/consent',
        scopes: ['openid', 'offline_access', 'read', 'write'],
        allowDynamicClientRegistration: true,
        allowUnauthenticatedClientRegistration: true,
        accessTokenExpiresIn: lifetimes.access_token,
        refreshTokenExpiresIn: lifetimes.refresh_token,
        silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
      }),
      oauthDeviceAuthorization({
        expiresIn: `${lifetimes.device_code}s`,
        interval: `${interval}s`,
        verificationUri: '/device',
      }),
    ],
  });
  handler = toNodeHandler(auth);
}

const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const page = (heading, body, kind = '') => `<!doctype html><html lang=en><meta charset=utf-8>
<link rel=icon href="data:,"><title>${escaped(heading)}</title>
<main${kind && ` data-kind=${kind}`}><h1>${escaped(heading)}</h1>${body}</main>
<script>
  async function post(path, body) {
    const response = await fetch('${BASE}' + path, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    return response.json();
  }
  function go(answer) { location.assign(answer.url ?? answer.redirect_uri); }
  const query = location.search.slice(1);
</script></html>`;
const login = (then) => page('Sign in', `<form onsubmit="
  event.preventDefault();
  post('/sign-in/email', {
    email: username.value, password: password.value, ...(query.includes('sig=') && { oauth_query: query }),
  }).then(${then})">
<label for=id_username>Name</label> <input id=id_username name=username autofocus>
<label for=id_password>Password</label> <input id=id_password name=password type=password>
<button>Sign in</button></form>`);
const CODE = `<form action=/device><label for=id_user_code>Code</label>
<input id=id_user_code name=user_code autofocus><button>Continue</button></form>`;
const choice = (yes, no) => `<button onclick="${yes}">Approve</button> <button onclick="${no}">Deny</button>`;

// What the person is shown; all the rest is said to better-auth by the page itself.
async function shown(url, headers) {
  switch (url.pathname) {
    case '/login':
      return login('go');
    case '/consent':
      return page('Approve?', choice(
        "post('/oauth2/consent', { accept: true, oauth_query: query }).then(go)",
        "post('/oauth2/consent', { accept: false, oauth_query: query }).then(go)",
      ));
    case '/device': {
      const userCode = url.searchParams.get('user_code');
      if (!await auth.api.getSession({ headers })) return login('() => location.reload()');
      if (!userCode) return page('Which code is on your device?', CODE);
      await auth.api.deviceVerify({ headers, query: { user_code: userCode } });
      const said = JSON.stringify({ userCode }).replaceAll('"', "'");
      return page('Is this code on your device?', escaped(userCode) + choice(
        `post('/device/approve', ${said}).then(() => location.assign('/done'))`,
        `post('/device/deny', ${said}).then(() => location.assign('/declined'))`,
      ));
    }
    case '/done':
      return page('Your device is signed in.', '', 'done');
    case '/declined':
      return page('Your device is not signed in.', '', 'failed');
    default:
      return undefined;
  }
}

// What a test does to the server behind the library's back: any of these, in one request.
async function control(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  const orders = JSON.parse(text);
  for (const name of orders.reset ? TABLES.filter((table) => !KEPT.includes(table)) : []) {
    tables[name].length = 0;
  }
  for (const name of orders.empty ?? []) tables[name].length = 0;
  if (orders.settings) start(orders.settings);
  if (orders.forget_log) log.length = 0;
  return { log };
}

async function serve(request, response) {
  const url = new URL(request.url, root);
  if (url.pathname === '/test') {
    response.setHeader('Content-Type', 'application/json');
    return response.end(JSON.stringify(await control(request)));
  }
  log.push(`${request.method} ${request.url}`);
  const html = await shown(url, fromNodeHeaders(request.headers));
  if (html === undefined) return handler(request, response);
  response.setHeader('Content-Type', 'text/html');
  return response.end(html);
}

const server = createServer((request, response) => {
  serve(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500, { 'Content-Type': 'text/html' });
    response.end(page('This request cannot be granted', escaped(error.message), 'failed'));
  });
});
server.keepAliveTimeout = 60_000;

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => {
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    root = `http://127.0.0.1:${port}`;
    start(JSON.parse(line));
    process.stdout.write(`${JSON.stringify({ port })}\n`);
  });
});
lines.once('close', () => process.exit());
