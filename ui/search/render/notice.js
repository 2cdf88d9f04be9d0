// Messages in place of results: errors, nothing found, first suggestions; and the strip for degraded answers.
import { h, icon } from '../../shared/dom.js';
import { strings } from '../strings.js';
import { similar } from '../query.js';
import { formatNumber } from '../text.js';

/** errorNotice says what went wrong and offers to try again. */
export function errorNotice(error, { index, again }) {
  const missing = error.code === 'index_not_found' || (error.status === 404 && error.code !== 'miroir_feature_disabled');
  return h('section', { class: 'notice bad', role: 'alert' },
    h('h2', {}, missing ? strings.noIndex(index) : titleOf(error)),
    h('p', {}, missing ? strings.noIndexHint : explain(error)),
    !missing && h('p', { class: 'notice-actions' },
      h('button', { class: 'button', type: 'button', onclick: again }, strings.again),
      error.link && h('a', { href: error.link, rel: 'noreferrer' }, strings.about)),
    error.code && h('p', { class: 'code' }, error.code));
}

const titleOf = (error) => (error.code === 'miroir_feature_disabled' ? strings.noSession : strings.failed);

function explain(error) {
  if (error.status === 0) return strings.offline;
  if (error.status === 429) return strings.limited;
  if (error.status === 503) return strings.busy;
  return error.message;
}

/** emptyNotice helps when a search found nothing. */
export function emptyNotice(view, actions) {
  const { state, config, rescues } = view;
  const asked = state.query || Object.keys(state.filters).length;
  const near = similar(state.query, config.popular).slice(0, 3);
  return h('section', { class: 'notice' },
    h('h2', {}, strings.empty(state.query)),
    h('p', {}, asked ? strings.emptyHint : strings.emptyIndex),
    near.length > 0 && h('div', { class: 'chips' }, h('span', {}, strings.didYouMean),
      near.map((query) => chip(query, () => actions.submit(query)))),
    rescues.length > 0 && h('div', { class: 'chips' }, h('span', {}, strings.tryInstead),
      rescues.map(({ state: other, total }) =>
        chip(other.query === state.query ? strings.withoutFilters : other.query, () => actions.go(other), total))));
}

/** suggestionChips invite to a first search. */
export function suggestionChips(config, actions) {
  if (!config.suggestions.length) return null;
  return h('div', { class: 'chips' }, h('span', {}, strings.suggestions),
    config.suggestions.slice(0, 8).map((query) => chip(query, () => actions.submit(query))));
}

function chip(text, onclick, count) {
  return h('button', { class: 'chip', type: 'button', onclick }, text,
    count !== undefined && h('span', { class: 'count' }, formatNumber(count)));
}

/** degradedStrip is shown while answers miss something; header is the value of X-Miroir-Degraded. */
export function degradedStrip(header) {
  if (!header) return null;
  const parts = header.split(';').map((part) => part.trim());
  const onlyLeader = parts.every((part) => part === 'no-leader');
  return h('p', { class: 'strip', role: 'status', title: header }, icon('warn'), onlyLeader ? strings.degradedLeader : strings.degraded);
}
