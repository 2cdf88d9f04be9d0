// Wires the page: configuration, state, search, views. Each part is in its own module.
import { h } from '../shared/dom.js';
import { Api, place } from './api.js';
import { derive, normalize } from './config.js';
import { History } from './history.js';
import { keyboard } from './keyboard.js';
import { createPage } from './render/page.js';
import { errorNotice } from './render/notice.js';
import { Search } from './search.js';
import * as change from './state.js';

const app = document.getElementById('app');

async function start() {
  const api = new Api(place(location.href));
  const config = await configure(api);
  document.title = config.title;
  if (config.accent && CSS.supports('color', config.accent)) setAccent(config.accent);

  let state;
  const history = new History((read) => go(read, { written: true }));
  const search = new Search({ api, config, show: (view) => page.update(view) });

  function go(next, { typing = false, written = false } = {}) {
    state = next;
    if (!written) history.write(state, { pause: typing });
    if (typing && config.instant) search.typed(state);
    else search.ask(state);
  }

  const actions = {
    type: (query) => go(change.withQuery(state, query), { typing: true }),
    submit: (query) => go(change.withQuery(state, query)),
    toggle: (attribute, value) => go(change.withToggled(state, attribute, value)),
    setValues: (attribute, values) => go(change.withValues(state, attribute, values)),
    clearFilters: () => go(change.withoutFilters(state)),
    sort: (sort) => go(change.withSort(state, sort)),
    perPage: (n) => go(change.withPerPage(state, n)),
    page: (n) => go(change.withPage(state, n)),
    go,
    again: () => search.ask(state),
    cover: (close) => history.cover(close),
    uncover: (close) => history.uncover(close),
  };
  const page = createPage(config, actions);
  app.replaceChildren(page.element);
  keyboard(page);
  go(history.read(), { written: true });
}

// configure reads the configuration, and asks the index for its facets when the configuration names none.
async function configure(api) {
  const config = normalize(await api.config(), api.index);
  if (config.facets) return config;
  try {
    const { results } = await api.multiSearch([{ indexUid: api.index, limit: 0, facets: ['*'] }]);
    return derive(config, results[0]);
  } catch (error) {
    if (error.code !== 'invalid_search_facets') throw error;
    return derive(config, {}); // nothing can be filtered by
  }
}

// setAccent uses the operator's colour, nudged towards the ink so that it can be read on either background.
function setAccent(color) {
  const root = document.documentElement.style;
  root.setProperty('--accent', `light-dark(color-mix(in oklab, ${color} 88%, black), color-mix(in oklab, ${color} 55%, white))`);
}

start().catch((error) => {
  app.replaceChildren(h('main', { class: 'lonely' }, errorNotice(error, { index: place(location.href).index, again: () => location.reload() })));
});
