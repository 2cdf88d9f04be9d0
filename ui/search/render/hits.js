// The list of hits: cards, skeletons before the first answer.
import { h, icon } from '../../shared/dom.js';
import { hue, initial, layout, markedParts } from '../record.js';
import { strings } from '../strings.js';
import { fillTemplate, formatValue, humanize, marked, plain, safeLink } from '../text.js';

export function createHits(config, open) {
  const element = h('ol', { class: `hits ${config.layout}`, 'aria-label': strings.heading });
  let shown = null;
  return {
    element,
    links: () => [...element.querySelectorAll('.hit-open')],
    update({ result, status, state }) {
      element.setAttribute('aria-busy', String(status === 'loading' || status === 'stalled'));
      element.classList.toggle('waiting', status === 'stalled');
      if (!result) element.replaceChildren(...Array.from({ length: 9 }, skeleton));
      else if (result !== shown) element.replaceChildren(...result.hits.map((hit) => card(hit, config, open, state.query)));
      shown = result;
    },
  };
}

function card(hit, config, open, query) {
  const parts = layout(hit, config);
  const written = (field) => marked(hit._formatted?.[field] ?? hit[field]);
  const title = plain(hit[parts.title]);
  return h('li', { class: 'hit' },
    tile(hit, parts, title),
    h('div', { class: 'hit-body' },
      h('h3', {}, opener(hit, config, open, written(parts.title))),
      parts.subtitle.length > 0 && h('p', { class: 'subtitle' }, separated(parts.subtitle.map(written))),
      parts.matches.map((field) => matchLine(hit, field, query)),
      parts.text && h('p', { class: 'text' }, written(parts.text)),
      parts.facts.length > 0 && h('dl', { class: 'facts' }, parts.facts.map((field) =>
        h('div', {}, h('dt', {}, humanize(field)), h('dd', {}, formatValue(field, hit[field])))))));
}

// The link covers the whole card. Without an address template it opens the record here.
function opener(hit, config, open, content) {
  const address = config.link && safeLink(fillTemplate(config.link, hit));
  if (address) return h('a', { class: 'hit-open', href: address }, content);
  return h('button', { class: 'hit-open', type: 'button', 'aria-haspopup': 'dialog', onclick: () => open(hit) }, content);
}

const separated = (parts) => parts.flatMap((part, i) => (i ? [' · ', part] : [part]));

// matchLine shows where else the query was found, literal matches first.
function matchLine(hit, field, query) {
  const literal = (part) => (plain(part).toLocaleLowerCase().includes(query.trim().toLocaleLowerCase()) ? 0 : 1);
  const parts = markedParts(hit._formatted[field]).sort((a, b) => literal(a) - literal(b)).slice(0, 3);
  return h('p', { class: 'match' }, h('span', {}, humanize(field)), ' ', separated(parts.map(marked)));
}

/** tile is the record's picture, its symbol, or its first letter on a colour. */
export function tile(hit, parts, title) {
  const letter = () => h('div', { class: 'tile letter', 'data-hue': hue(title), 'aria-hidden': 'true' }, initial(title));
  if (parts.picture) {
    const image = h('img', { src: safeLink(hit[parts.picture]), alt: '', loading: 'lazy', decoding: 'async' });
    const box = h('div', { class: 'tile picture' }, image);
    image.addEventListener('error', () => box.replaceWith(letter()));
    return box;
  }
  if (parts.symbol) return h('div', { class: 'tile symbol', 'data-hue': hue(title), 'aria-hidden': 'true' }, hit[parts.symbol]);
  return letter();
}

function skeleton() {
  return h('li', { class: 'hit skeleton', 'aria-hidden': 'true' },
    h('div', { class: 'tile' }),
    h('div', { class: 'hit-body' }, h('i', { class: 'bar short' }), h('i', { class: 'bar' }), h('i', { class: 'bar' }), h('i', { class: 'bar half' })));
}

/** createDetail is the dialog with everything a record holds. */
export function createDetail(config) {
  const body = h('div', { class: 'detail-body' });
  const close = h('button', { class: 'icon-button', type: 'button', 'aria-label': strings.close, onclick: () => element.close() }, icon('close'));
  const element = h('dialog', { class: 'detail', 'aria-labelledby': 'detail-title', onclick: (event) => event.target === element && element.close() }, close, body);
  return {
    element,
    open(hit) {
      const parts = layout(hit, config);
      const title = plain(hit[parts.title]);
      const skip = new Set([parts.title, parts.symbol, parts.picture, parts.text]);
      const fields = Object.keys(hit).filter((field) => !skip.has(field) && (!field.startsWith('_') || field === '_geo') && hit[field] != null);
      body.replaceChildren(
        h('header', {}, tile(hit, parts, title), h('h2', { id: 'detail-title' }, title)),
        parts.text ? h('p', { class: 'text' }, hit[parts.text]) : '',
        h('dl', {}, fields.map((field) => h('div', {}, h('dt', {}, field === '_geo' ? 'Position' : humanize(field)), h('dd', {}, value(field, hit[field]))))));
      element.showModal();
      body.scrollTop = 0;
    },
  };
}

function value(field, given) {
  if (Array.isArray(given) && given.every((item) => typeof item !== 'object')) {
    return h('span', { class: 'tags' }, given.map((item) => h('span', { class: 'tag' }, String(item))));
  }
  if (typeof given === 'string' && /^https?:\/\//.test(given)) return h('a', { href: safeLink(given), rel: 'noreferrer' }, given);
  return formatValue(field, given);
}
