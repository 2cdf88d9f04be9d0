// Searching as one types, apart from how it looks: debounce, one request at a time, no old answer over a newer one, and
// the status the page shows. Knows nothing of the DOM.
import { build, combine, rescues } from './query.js';

const DEBOUNCE_MS = 150;
const STALLED_MS = 200;

export class Search {
  /**
   * show(view) is called on every change: {status, state, config, result, error, degraded, rescues}
   *   status: "idle" (result answers state), "loading" (asked, not yet late), "stalled" (late), "error"
   *   result: what combine makes, of the last answer; null before the first
   */
  constructor({ api, config, show }) {
    Object.assign(this, { api, config, show });
    this.view = { status: 'loading', state: null, config, result: null, error: null, degraded: '', rescues: [] };
    this.running = null; // the AbortController of the newest request
    this.timer = 0;
  }

  /** typed asks after a pause in typing. */
  typed(state) {
    clearTimeout(this.timer);
    this.#change({ state });
    this.timer = setTimeout(() => this.ask(state), DEBOUNCE_MS);
  }

  /** ask asks now. An older request is aborted, and its answer dropped even if it was already on its way. */
  async ask(state) {
    clearTimeout(this.timer);
    this.running?.abort();
    const mine = new AbortController();
    this.running = mine;
    this.#change({ status: 'loading', state, error: null });
    const late = setTimeout(() => this.running === mine && this.#change({ status: 'stalled' }), STALLED_MS);
    try {
      const { results, degraded } = await this.api.multiSearch(build(state, this.config), mine.signal);
      if (this.running !== mine) return;
      const result = combine(results);
      clearTimeout(late);
      this.#change({ status: 'idle', result, degraded, rescues: [] });
      if (!result.hits.length) await this.#rescue(state, mine);
    } catch (error) {
      if (this.running === mine) this.#change({ status: 'error', error });
    } finally {
      clearTimeout(late);
    }
  }

  // Counts what searches near this one would find. Help, not an answer: failing to give it is no error.
  async #rescue(state, mine) {
    const near = rescues(state);
    if (!near.length) return;
    const queries = near.map((other) => ({ ...build(other, this.config)[0], offset: 0, limit: 0, facets: [] }));
    const answer = await this.api.multiSearch(queries, mine.signal).catch(() => null);
    if (!answer || this.running !== mine) return;
    const counted = near.map((other, i) => ({ state: other, total: answer.results[i].estimatedTotalHits ?? 0 }));
    this.#change({ rescues: counted.filter(({ total }) => total > 0).slice(0, 4) });
  }

  #change(part) {
    this.view = { ...this.view, ...part };
    this.show(this.view);
  }
}
