// An OpenID Connect provider for tests: the certified npm package `oidc-provider` with accounts that tests name.
//
//   node server.mjs FOLDER '{"port": 0, "accounts": {"alice": {"name": …, "groups": […]}}}'
//
// FOLDER holds node_modules. One line of JSON is printed once it serves. It ends with its standard input, so it
// cannot outlive the program that started it. Tests control it over POST /control/…, see `controls`.

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, settingsText] = process.argv.slice(2);
const settings = { port: 0, accounts: {}, claimsIn: 'id_token', codeLifetime: 60, ...JSON.parse(settingsText) };
const packages = createRequire(path.join(folder, 'package.json'));
const { Provider } = await import(pathToFileURL(packages.resolve('oidc-provider')).href);

const clients = new Map();
const stored = new Map();

/** Where the provider keeps everything: in memory, shared by the providers before and after a rotation. */
class Store {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload) {
    stored.set(this.key(id), payload);
  }

  async find(id) {
    return this.model === 'Client' ? clients.get(id) : stored.get(this.key(id));
  }

  async findByUid(uid) {
    for (const [key, payload] of stored) {
      if (key.startsWith(`${this.model}:`) && payload.uid === uid) return payload;
    }
    return undefined;
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    const payload = stored.get(this.key(id));
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) {
      if (payload.grantId === grantId) stored.delete(key);
    }
  }
}

function newKeys() {
  const make = (kind, options) => ({
    ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }),
    kid: `${kind}-${randomUUID()}`,
    use: 'sig',
  });
  return { keys: [make('rsa', { modulusLength: 2048 }), make('ec', { namedCurve: 'P-256' })] };
}

const cookieKeys = [randomBytes(32).toString('base64url')];

function newProvider(issuer) {
  const provider = new Provider(issuer, {
    adapter: Store,
    jwks: newKeys(),
    claims: { openid: ['sub'], profile: ['name', 'groups'], email: ['email', 'email_verified'] },
    // By the letter of the standard, claims of scopes come from the userinfo endpoint; most issuers put them into
    // the ID token as well.
    conformIdTokenClaims: settings.claimsIn === 'userinfo',
    cookies: { keys: cookieKeys },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    scopes: ['openid', 'offline_access'],
    ttl: { AuthorizationCode: settings.codeLifetime, AccessToken: 300, IdToken: 300, Session: 3600, Grant: 3600, Interaction: 600 },
    async findAccount(_ctx, id) {
      const account = settings.accounts[id];
      return account && { accountId: id, claims: async () => ({ sub: id, ...account }) };
    },
    async loadExistingGrant(ctx) {
      const { client, provider: current, session } = ctx.oidc;
      const known = session.grantIdFor(client.clientId);
      const found = known && await current.Grant.find(known);
      if (found) return found;
      const grant = new current.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile email offline_access');
      await grant.save();
      return grant;
    },
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  return provider;
}

const escaped = (text) => String(text).replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

function answer(response, status, value, headers = {}) {
  const html = typeof value === 'string';
  response.writeHead(status, { 'content-type': html ? 'text/html; charset=utf-8' : 'application/json', ...headers });
  response.end(html ? value : JSON.stringify(value));
}

/** The page on which a person says who they are, and what they chose. */
async function interaction(request, response) {
  const here = new URL(request.url, issuer).pathname;
  if (request.method === 'GET') {
    const { params } = await provider.interactionDetails(request, response);
    const buttons = Object.entries(settings.accounts).map(([id, account]) => `
      <button name="account" value="${escaped(id)}"${params.login_hint === id ? ' autofocus' : ''}>
        Sign in as ${escaped(account.name ?? id)}</button>`);
    // The header tells scripts where to send their choice.
    answer(response, 200, `<!doctype html><html lang="en"><title>Sign in</title><main><h1>Who are you?</h1>
      <form method="post" action="${here}">${buttons.join('')}
      <button name="deny" value="yes">Refuse</button></form></main></html>`, { 'x-login-form': here });
    return;
  }
  const chosen = new URLSearchParams(await body(request));
  const result = chosen.get('deny')
    ? { error: 'access_denied', error_description: 'the person refused' }
    : { login: { accountId: chosen.get('account') } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const controls = {
  // Add or change a client: {"client_id": …, …} in the terms of OpenID Connect Dynamic Client Registration.
  clients: (client) => clients.set(client.client_id, client),
  // Add or change accounts: {"alice": {claims}}.
  accounts: (accounts) => Object.assign(settings.accounts, accounts),
  // Sign with new keys from now on, and forget the old ones.
  rotate: () => { provider = newProvider(issuer); },
  // Change settings, and rotate.
  settings: (changes) => { Object.assign(settings, changes); provider = newProvider(issuer); },
};

let issuer;
let provider;

const server = http.createServer(async (request, response) => {
  const [, first, second] = request.url.split(/[/?]/);
  try {
    if (first === 'control' && request.method === 'POST' && Object.hasOwn(controls, second)) {
      controls[second](JSON.parse(await body(request) || '{}'));
      answer(response, 200, {});
    } else if (first === 'interaction') {
      await interaction(request, response);
    } else {
      await provider.callback()(request, response);
    }
  } catch (error) {
    console.error(error);
    answer(response, 400, { error: error.name });
  }
});

server.listen(settings.port, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  provider = newProvider(issuer);
  console.log(JSON.stringify({ issuer }));
});

process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
