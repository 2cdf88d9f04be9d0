// Page numbers, sort order and page size.
import { h, icon } from '../../shared/dom.js';
import { strings } from '../strings.js';

/** pageNumbers lists the pages to offer: the ends, the neighbours, and 0 for a gap. */
export function pageNumbers(page, last) {
  const wanted = [...new Set([1, page - 1, page, page + 1, last])].filter((n) => n >= 1 && n <= last).sort((a, b) => a - b);
  return wanted.flatMap((n, i) => {
    const before = wanted[i - 1] ?? 0;
    if (n - before === 2) return [n - 1, n];
    return n - before > 2 ? [0, n] : [n];
  });
}

export function createPager(config, actions) {
  const element = h('nav', { class: 'pager', 'aria-label': strings.pages });
  const step = (name, label, to, able) =>
    h('button', { class: 'icon-button', type: 'button', 'aria-label': label, disabled: !able, onclick: () => actions.page(to) }, icon(name));
  return {
    element,
    update({ result, state }) {
      if (!result) return;
      const perPage = state.perPage || config.perPage;
      const last = Math.ceil(Math.min(result.total, config.reachable) / perPage);
      element.hidden = last <= 1;
      const numbers = pageNumbers(state.page, last).map((n) => (n === 0
        ? h('span', { class: 'gap', 'aria-hidden': 'true' }, '…')
        : h('button', { type: 'button', 'aria-label': strings.page(n), 'aria-current': n === state.page && 'page', onclick: () => actions.page(n) }, n)));
      element.replaceChildren(step('left', strings.previous, state.page - 1, state.page > 1), ...numbers,
        step('right', strings.next, state.page + 1, state.page < last));
    },
  };
}

/** createSelect is a labelled choice; options = [{label, value}]. */
export function createSelect(label, options, changed) {
  const select = h('select', { onchange: () => changed(select.value) }, options.map(({ label: text, value }) => h('option', { value }, text)));
  return { element: h('label', { class: 'select' }, h('span', {}, label), select), set: (value) => { select.value = value; } };
}
