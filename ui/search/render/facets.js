// The filters: a list of boxes per facet, or a range of numbers. Elements stay in place between answers, so focus does too.
import { h, icon } from '../../shared/dom.js';
import { strings } from '../strings.js';
import { formatNumber } from '../text.js';
import { createRange } from './range.js';

const SHOWN = 7; // values before "show more"
const FINDABLE = 12; // more values than this get a box to find one

export function createFacets(config, actions) {
  const facets = config.facets.map((facet) => (facet.type === 'range' ? createRange(facet, actions) : createChoices(facet, actions)));
  const element = h('div', { class: 'facets waiting' }, facets.map((facet) => facet.element));
  return {
    element,
    update(view) {
      element.classList.toggle('waiting', !view.result); // before the first answer only the titles are known
      facets.forEach((facet) => facet.update(view));
    },
  };
}

function createChoices(facet, actions) {
  const rows = new Map(); // value to {element, box, count}
  let open = false;
  let last = null;
  const list = h('ul', {});
  const none = h('p', { class: 'soft' }, strings.noValues);
  const more = h('button', { class: 'more', type: 'button', onclick: () => { open = !open; draw(); } });
  const find = h('input', { type: 'search', class: 'find', placeholder: strings.findValue(facet.title), 'aria-label': strings.findValue(facet.title), oninput: () => draw() });
  const element = h('fieldset', { class: 'facet' }, h('legend', {}, facet.title), find, list, none, more);

  function row(value) {
    if (!rows.has(value)) {
      const box = h('input', { type: 'checkbox', onchange: () => actions.toggle(facet.attribute, value) });
      const count = h('span', { class: 'count' });
      rows.set(value, { element: h('li', {}, h('label', {}, box, h('span', { class: 'value' }, value), count)), box, count });
    }
    return rows.get(value);
  }

  function draw() {
    const { values, chosen } = last;
    const wanted = find.value.trim().toLocaleLowerCase();
    const found = values.filter(([value]) => value.toLocaleLowerCase().includes(wanted));
    const visible = open || wanted ? found : found.filter(([value], i) => i < SHOWN || chosen.includes(value));
    const focused = document.activeElement;
    const elements = visible.map(([value, count]) => {
      const it = row(value);
      it.box.checked = chosen.includes(value);
      it.count.textContent = formatNumber(count);
      it.element.classList.toggle('nothing', count === 0);
      return it.element;
    });
    list.replaceChildren(...elements);
    if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
    none.hidden = elements.length > 0;
    find.hidden = values.length <= FINDABLE;
    const hidden = found.length - visible.length;
    more.hidden = Boolean(wanted) || (hidden === 0 && !(open && found.length > SHOWN));
    more.setAttribute('aria-expanded', String(open));
    more.textContent = hidden ? strings.showMore(formatNumber(hidden)) : strings.showLess;
  }

  return {
    element,
    update({ result, state }) {
      if (!result) return;
      const chosen = state.filters[facet.attribute] ?? [];
      last = { chosen, values: sorted(facet, result.facets[facet.attribute]?.values ?? [], chosen) };
      draw();
    },
  };
}

// sorted orders by count, or by name where the configuration says; a chosen value the answer lacks stays, with 0.
function sorted(facet, values, chosen) {
  const missing = chosen.filter((value) => !values.some(([known]) => known === value)).map((value) => [value, 0]);
  const byName = (a, b) => a[0].localeCompare(b[0], undefined, { numeric: true });
  return [...values, ...missing].sort(facet.alphabetical ? byName : (a, b) => b[1] - a[1] || byName(a, b));
}

/** createRefinements is the row of filters in force, each with a button to drop it. */
export function createRefinements(config, actions) {
  const element = h('div', { class: 'refinements' });
  return {
    element,
    update({ state }) {
      const chips = config.facets.flatMap((facet) =>
        (state.filters[facet.attribute] ?? []).map((value) => refinement(facet, value, actions)));
      element.hidden = chips.length === 0;
      element.replaceChildren(...chips, h('button', { class: 'plain', type: 'button', onclick: actions.clearFilters }, strings.clearFilters));
    },
  };
}

function refinement(facet, value, actions) {
  const text = facet.type === 'range' ? `${facet.title} ${value.replace(/^(-?[\d.]*)-(-?[\d.]*)$/, rangeText)}` : value;
  const drop = () => (facet.type === 'range' ? actions.setValues(facet.attribute, []) : actions.toggle(facet.attribute, value));
  return h('button', { class: 'chip on', type: 'button', 'aria-label': strings.removeFilter(facet.title, text), onclick: drop }, text, icon('close'));
}

function rangeText(_, low, high) {
  if (low && high) return `${formatNumber(Number(low))} – ${formatNumber(Number(high))}`;
  return low ? `≥ ${formatNumber(Number(low))}` : `≤ ${formatNumber(Number(high))}`;
}
