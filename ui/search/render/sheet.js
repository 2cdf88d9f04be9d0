// Where the filters live: a rail beside the results, and a sheet from the bottom edge on narrow screens.
import { h, icon } from '../../shared/dom.js';
import { strings } from '../strings.js';

const NARROW = matchMedia('(max-width: 639.98px)');

/** behind are the elements that must not be reached while the sheet is open. */
export function createSheet(facets, actions, behind) {
  let open = false;
  const done = h('button', { class: 'button', type: 'button', onclick: () => close() });
  const badge = h('span', { class: 'badge', hidden: true });
  const opener = h('button', { class: 'button quiet sheet-opener', type: 'button', 'aria-expanded': 'false', 'aria-controls': 'filters', onclick: () => show() }, icon('filter'), strings.filters, badge);
  const shut = h('button', { class: 'icon-button', type: 'button', 'aria-label': strings.closeFilters, onclick: () => close() }, icon('close'));
  const shade = h('div', { class: 'shade', onclick: () => close() });
  const panel = h('aside', { id: 'filters', class: 'panel', 'aria-label': strings.filters },
    h('div', { class: 'sheet-head' }, h('h2', {}, strings.filters), shut), facets, h('div', { class: 'sheet-foot' }, done));
  const element = h('div', { class: 'rail' }, shade, panel);

  function set(now) {
    open = now;
    element.classList.toggle('open', open);
    opener.setAttribute('aria-expanded', String(open));
    behind.forEach((part) => { part.inert = open; });
    document.documentElement.classList.toggle('covered', open);
  }

  function show() {
    if (NARROW.matches && !open) {
      set(true);
      actions.cover(closed);
    }
    panel.querySelector(NARROW.matches ? 'button' : 'input:not([hidden])')?.focus();
  }

  function close() {
    if (!open) return;
    actions.uncover(closed);
    closed();
  }

  function closed() {
    set(false);
    opener.focus({ preventScroll: true });
  }

  panel.addEventListener('keydown', (event) => event.key === 'Escape' && close());
  NARROW.addEventListener('change', () => !NARROW.matches && close());
  return {
    element,
    opener,
    show,
    update({ result, state }) {
      const chosen = Object.values(state.filters).flat().length;
      badge.hidden = chosen === 0;
      badge.textContent = chosen;
      if (result) done.textContent = strings.showResults(result.total);
    },
  };
}
