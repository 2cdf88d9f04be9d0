// The address bar follows the state, and back and forward lead the state.
import { format, parse } from './state.js';

const PAUSE_MS = 400;

export class History {
  /** changed(state) is called on back and forward. */
  constructor(changed) {
    this.timer = 0;
    this.newest = undefined; // the query string last written while a layer was open
    this.layers = []; // what back closes before it goes back: functions, innermost last
    addEventListener('popstate', () => {
      clearTimeout(this.timer);
      const close = this.layers.pop();
      if (!close) return changed(this.read());
      close();
      // The entry now on top is from before the layer: it gets the address of what was chosen in the layer.
      if (this.newest !== undefined) history.replaceState(null, '', location.pathname + this.newest);
      return undefined;
    });
  }

  read() {
    return parse(location.search);
  }

  /** write makes an entry for the state; with pause, only once typing has stopped. */
  write(state, { pause = false } = {}) {
    clearTimeout(this.timer);
    if (pause) this.timer = setTimeout(() => this.#push(state), PAUSE_MS);
    else this.#push(state);
  }

  #push(state) {
    const address = location.pathname + format(state);
    if (this.layers.length) this.newest = format(state);
    if (address === location.pathname + location.search) return;
    // An open layer owns the newest entry: its changes replace, so that one step back closes it.
    history[this.layers.length ? 'replaceState' : 'pushState'](null, '', address);
  }

  /** cover puts a layer (the filter sheet) on top: back calls close. */
  cover(close) {
    this.layers.push(close);
    this.newest = undefined;
    history.pushState(null, '', location.href);
  }

  /** uncover takes the layer off when it was closed by other means; its entry stays, as if it had been a page. */
  uncover(close) {
    if (this.layers.at(-1) !== close) return;
    this.layers.pop();
  }
}
