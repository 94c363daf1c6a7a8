// npm oidc-provider on loopback: a program, run by `oidc_server.py`.
//
// One line of JSON on stdin says what to serve, one line of JSON on stdout says where it is served;
// the end of stdin ends the program, so that it never outlives the tests.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

console.info = console.log = console.warn = console.error; // stdout is for one line alone

const { default: Provider } = await import('oidc-provider');

const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const page = (heading, body, kind = '') => `<!doctype html><html lang=en><meta charset=utf-8>
<link rel=icon href="data:,"><title>${escaped(heading)}</title>
<main${kind && ` data-kind=${kind}`}><h1>${escaped(heading)}</h1>${body}</main></html>`;
const LOGIN = `<form method=post>
<label for=id_username>Name</label> <input id=id_username name=username autofocus>
<label for=id_password>Password</label> <input id=id_password name=password type=password>
<button>Sign in</button></form>`;
const CONSENT = `<form method=post><button name=allow value=yes>Approve</button>
<button name=deny value=yes>Deny</button></form>`;

const log = []; // "METHOD path?query" of everything but the tests' own requests of /test
const issued = { access: new Set(), refresh: new Set() };
let options;
let issuer;
let lifetimes;
let provider;

function start() {
  lifetimes = { ...options.lifetimes };
  issued.access.clear();
  issued.refresh.clear();
  provider = new Provider(issuer, {
    clients: options.clients,
    clockTolerance: 0, // or an access token would live that much longer
    cookies: { keys: ['known to everybody: this server is a test'] },
    scopes: ['openid', 'offline_access', 'read', 'write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: (ctx, form, out, error) => {
          ctx.body = page(
            error ? 'That code is not known' : 'Which code is on your device?',
            form.replace('type="text"', 'id=id_user_code type=text')
              + '<button form=op.deviceInputForm>Continue</button>',
            error?.name === 'AbortedError' ? 'failed' : '',
          );
        },
        userCodeConfirmSource: (ctx, form, client, info, code) => {
          ctx.body = page(
            'Is this code on your device?',
            `<p><code>${escaped(code)}</code></p>${form}
             <button form=op.deviceConfirmForm>Continue</button>`,
          );
        },
        successSource: (ctx) => {
          ctx.body = page('Your device is signed in.', '', 'done');
        },
      },
      introspection: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
    },
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = page('This request cannot be granted', escaped(JSON.stringify(out)), 'failed');
    },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: () => lifetimes.access_token,
      AuthorizationCode: () => lifetimes.authorization_code,
      ClientCredentials: () => lifetimes.access_token,
      DeviceCode: () => lifetimes.device_code,
      Grant: 86400,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: () => lifetimes.refresh_token,
      Session: 86400,
    },
  });
  provider.on('access_token.saved', (token) => issued.access.add(token));
  provider.on('client_credentials.saved', (token) => issued.access.add(token));
  provider.on('refresh_token.saved', (token) => issued.refresh.add(token));
  provider.on('server_error', (ctx, error) => console.error(error));
}

async function body(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

function send(response, status, content, headers = {}) {
  const json = typeof content !== 'string';
  response.writeHead(status, { 'Content-Type': json ? 'application/json' : 'text/html', ...headers });
  response.end(json ? JSON.stringify(content) : content);
}

// The person signs in with any name and password, then approves or denies.
async function interaction(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    const asked = escaped(`${params.client_id} asks for: ${params.scope}`);
    const login = prompt.name === 'login';
    return send(response, 200, login ? page('Sign in', LOGIN) : page('Approve?', asked + CONSENT));
  }
  const form = new URLSearchParams(await body(request));
  let result;
  if (form.has('deny')) {
    result = { error: 'access_denied', error_description: 'The person said no' };
  } else if (prompt.name === 'login') {
    result = { login: { accountId: form.get('username') } };
  } else {
    const { accountId } = session;
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  const mergeWithLastSubmission = !result.error;
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission });
}

// The protected resource: says whose token it was given and for what.
async function resource(request, response) {
  const value = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const token = await provider.AccessToken.find(value) ?? await provider.ClientCredentials.find(value);
  if (!token) {
    // RFC 6750 3: the reason is named only if there was a token.
    const challenge = value ? 'Bearer error="invalid_token"' : 'Bearer';
    return send(response, 401, {}, { 'WWW-Authenticate': challenge });
  }
  return send(response, 200, {
    method: request.method,
    body: await body(request),
    client_id: token.clientId,
    user: token.accountId ?? null,
    scope: token.scope ?? '',
  });
}

// What a test does to the server behind the library's back: any of these, in one request.
async function control(request, response) {
  const orders = JSON.parse(await body(request));
  if (orders.reset) start();
  for (const kind of orders.revoke ?? []) {
    await Promise.all([...issued[kind]].map((token) => token.destroy()));
  }
  Object.assign(lifetimes, orders.lifetimes);
  if (orders.forget_log) log.length = 0;
  send(response, 200, { log });
}

const routes = { resource, interaction, test: control };
const server = createServer((request, response) => {
  const route = request.url.split(/[/?]/)[1];
  if (route !== 'test') log.push(`${request.method} ${request.url}`);
  const answered = Object.hasOwn(routes, route)
    ? routes[route](request, response)
    : provider.callback()(request, response);
  Promise.resolve(answered).catch((error) => {
    console.error(error);
    send(response, 500, { error: String(error) });
  });
});
server.keepAliveTimeout = 60_000;

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => {
  options = JSON.parse(line);
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    issuer = `http://127.0.0.1:${port}`;
    start();
    process.stdout.write(`${JSON.stringify({ port })}\n`);
  });
});
lines.once('close', () => process.exit());
