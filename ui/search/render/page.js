// The page: header with the search box, filters, results. Owns the elements that hold the others.
import { h, icon } from '../../shared/dom.js';
import { strings } from '../strings.js';
import { safeLink } from '../text.js';
import { createFacets, createRefinements } from './facets.js';
import { createDetail, createHits } from './hits.js';
import { degradedStrip, emptyNotice, errorNotice, suggestionChips } from './notice.js';
import { createPager, createSelect } from './pager.js';
import { createSheet } from './sheet.js';
import { createThemeToggle } from './theme.js';

export function createPage(config, actions) {
  const box = createSearchBox(config, actions);
  const facets = createFacets(config, actions);
  const detail = createDetail(config);
  const results = createResults(config, actions, detail);
  const header = h('header', { class: 'top' }, h('div', { class: 'bar' }, brand(config), box.element, createThemeToggle()));
  const sheet = createSheet(facets.element, actions, [header, results.element]);
  results.toolbar.prepend(sheet.opener);
  const element = h('div', { class: config.facets.length ? 'page' : 'page no-facets' },
    header, h('div', { class: 'columns' }, sheet.element, results.element), footer(), detail.element);
  let page = 1;
  return {
    element,
    input: box.input,
    hits: results.links,
    toFilters: () => sheet.show(),
    clear: () => actions.submit(''),
    update(view) {
      header.classList.toggle('stalled', view.status === 'stalled');
      [box, facets, sheet, results].forEach((part) => part.update(view));
      if (view.status === 'idle' && view.state.page !== page) {
        page = view.state.page;
        results.toTop();
      }
    },
  };
}

function brand(config) {
  const logo = config.logo && safeLink(config.logo);
  return h('h1', { class: 'brand' },
    logo ? h('img', { src: logo, alt: '' }) : h('span', { class: 'logo', 'aria-hidden': 'true' }), h('span', {}, config.title));
}

function createSearchBox(config, actions) {
  let composing = false;
  const input = h('input', {
    type: 'search', id: 'query', name: 'q', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', enterkeyhint: 'search',
    autofocus: matchMedia('(pointer: fine)').matches, // a phone would cover half the page with its keyboard
    placeholder: strings.placeholder(config.title), 'aria-label': strings.searchLabel, 'aria-controls': 'results',
    // Half a syllable is no query: wait for the input method to finish.
    oncompositionstart: () => { composing = true; },
    oncompositionend: () => { composing = false; actions.type(input.value); },
    oninput: () => { clear.hidden = !input.value; if (!composing) actions.type(input.value); },
  });
  const clear = h('button', { class: 'icon-button', type: 'button', 'aria-label': strings.clearSearch, hidden: true, onclick: () => { actions.submit(''); input.focus(); } }, icon('close'));
  const element = h('form', { class: 'box', role: 'search', onsubmit: (event) => { event.preventDefault(); actions.submit(input.value); } },
    icon('search'), input, clear, h('kbd', { 'aria-hidden': 'true' }, '/'));
  return {
    element,
    input,
    update({ state }) {
      if (!composing && input.value !== state.query) input.value = state.query;
      clear.hidden = !state.query;
    },
  };
}

function createResults(config, actions, detail) {
  const hits = createHits(config, detail.open);
  const pager = createPager(config, actions);
  const refinements = createRefinements(config, actions);
  const count = h('h2', { class: 'total', tabindex: '-1' });
  const live = h('p', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
  const sort = createSelect(strings.sort, [{ label: strings.relevance, value: '' }, ...config.sorts], actions.sort);
  const size = createSelect(strings.perPage, config.perPageOptions.map((n) => ({ label: n, value: n })), (n) => actions.perPage(Number(n)));
  const toolbar = h('div', { class: 'toolbar' }, count, config.sorts.length > 0 && sort.element);
  const strip = h('div', { class: 'strips' });
  const place = h('div', { class: 'place' }); // notices in place of hits, suggestions above them
  const foot = h('div', { class: 'foot' }, pager.element, size.element);
  const element = h('main', { id: 'results', class: 'results', tabindex: '-1' }, live, toolbar, refinements.element, strip, place, hits.element, foot);

  function update(view) {
    const { status, state, result, error } = view;
    const failed = status === 'error';
    const none = !failed && result && !result.hits.length && status === 'idle';
    hits.update(view);
    pager.update(view);
    refinements.update(view);
    sort.set(state.sort);
    size.set(state.perPage || config.perPage);
    hits.element.hidden = failed || Boolean(none);
    foot.hidden = failed || !result?.hits.length;
    strip.replaceChildren(degradedStrip(view.degraded) ?? '');
    if (failed) place.replaceChildren(errorNotice(error, { index: config.index, again: actions.again }));
    else if (none) place.replaceChildren(emptyNotice(view, actions));
    else if (status === 'idle') place.replaceChildren((!state.query && suggestionChips(config, actions)) || '');
    if (status === 'idle') say(result, state);
    else if (status === 'stalled') live.textContent = strings.slow;
  }

  function say({ total, milliseconds }, { query }) {
    const text = query ? strings.resultsFor(total, query) : strings.results(total);
    count.replaceChildren(h('strong', {}, strings.results(total)), ' ', h('small', {}, strings.milliseconds(milliseconds)));
    live.textContent = text;
  }

  return {
    element, toolbar, update, links: hits.links,
    toTop() {
      scrollTo({ top: 0 });
      count.focus({ preventScroll: true });
    },
  };
}

function footer() {
  return h('footer', { class: 'keys', 'aria-hidden': 'true' }, strings.keys.map(([key, what]) => h('span', {}, h('kbd', {}, key), ' ', what)));
}
