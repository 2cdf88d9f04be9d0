// The requests this page makes: its configuration, a session token, and multi-search with that token.

const RENEW_BEFORE_MS = 60_000;
const TRIES = 3;
const BACKOFF_MS = 400;
const LONGEST_WAIT_MS = 8_000;

/** ApiError is an answer that is not a success. code is Meilisearch's or Miroir's, "" when there was none. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = '', link = '' } = {}) {
    super(message);
    Object.assign(this, { status, code, link }); // status 0: nobody answered
  }
}

/** place finds the index and the address of Miroir in the page's own address: <root>/ui/search/<index>. */
export function place(address) {
  const found = /^(.*)\/ui\/search\/([^/]+)\/?$/.exec(new URL(address).pathname);
  return found ? { root: found[1], index: decodeURIComponent(found[2]) } : { root: '', index: '' };
}

export class Api {
  /** wait(ms) resolves after that time: tests pass their own. */
  constructor({ root, index, wait = (ms) => new Promise((done) => setTimeout(done, ms)) }) {
    Object.assign(this, { root, index, wait });
    this.session = null; // {token, renewAt}, or the promise of one
  }

  /** config is the page's public configuration. A missing index is an ApiError with status 404. */
  async config() {
    const response = await this.#retrying(() => fetch(`${this.root}/ui/search/${encodeURIComponent(this.index)}/config.json`));
    return response.json();
  }

  /** multiSearch asks all queries in one request: {results, degraded}, degraded being the X-Miroir-Degraded header or "". */
  async multiSearch(queries, signal) {
    const ask = () => this.#retrying(() => this.#post('/multi-search', { queries }, signal), signal);
    const response = await ask().catch((error) => {
      if (error.status !== 401) throw error;
      this.session = null; // the token is refused, perhaps because its secret was changed: once more with a new one
      return ask();
    });
    const { results } = await response.json();
    return { results, degraded: response.headers.get('X-Miroir-Degraded') ?? '' };
  }

  async #post(path, body, signal) {
    const token = await this.#token();
    const headers = { 'Content-Type': 'application/json' };
    if (token) headers.Authorization = `Bearer ${token}`;
    return fetch(this.root + path, { method: 'POST', headers, body: JSON.stringify(body), signal });
  }

  async #token() {
    const session = await this.session;
    if (session && Date.now() < session.renewAt) return session.token;
    this.session = this.#newSession().catch((error) => {
      this.session = null;
      throw error;
    });
    return (await this.session).token;
  }

  async #newSession() {
    const address = `${this.root}/_miroir/ui/search/${encodeURIComponent(this.index)}/session`;
    const response = await this.#retrying(() => fetch(address, { cache: 'no-store' }));
    const { token, expires_at } = await response.json();
    return { token, renewAt: new Date(expires_at).getTime() - RENEW_BEFORE_MS || Infinity };
  }

  // Retried: an answer that says the server is busy (429, 503), after the time it names. Everything else is the caller's.
  async #retrying(request, signal) {
    for (let tried = 1; ; tried++) {
      const response = await request().catch(unreachable);
      if (response.ok) return response;
      const busy = response.status === 429 || response.status === 503;
      if (!busy || tried === TRIES) throw await errorOf(response);
      const named = Number(response.headers.get('Retry-After')) * 1000;
      await this.wait(Math.min(named || BACKOFF_MS * 2 ** (tried - 1), LONGEST_WAIT_MS));
      signal?.throwIfAborted();
    }
  }
}

// unreachable makes an ApiError of what fetch throws when nobody answers; others, an abort among them, pass.
function unreachable(error) {
  throw error instanceof TypeError ? new ApiError(error.message) : error;
}

async function errorOf(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError(body.message ?? response.statusText, { status: response.status, code: body.code, link: body.link });
}
