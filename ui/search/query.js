// From a state to the queries of one multi-search, and from their answers to what the page shows. Pure.
import { parseRange } from './state.js';

// Placeholder tags: two private-use characters that no text holds. Rendering cuts at them and makes <mark> nodes.
export const MARK_OPEN = '\uE000';
export const MARK_CLOSE = '\uE001';

const CROP_WORDS = 40;

/**
 * build makes the queries: the first has all filters, the hits and every facet; then, for each filtered facet, one without
 * that facet's own filter, so that its other values keep their counts (a choice inside a facet widens, not narrows).
 */
export function build(state, config) {
  const active = config.facets.filter((facet) => filterOf(facet, state.filters[facet.attribute]));
  const filterWithout = (left) =>
    active.filter((facet) => facet !== left).map((facet) => filterOf(facet, state.filters[facet.attribute]));
  const perPage = state.perPage || config.perPage;
  const hits = {
    indexUid: config.index,
    q: state.query,
    offset: (state.page - 1) * perPage,
    limit: perPage,
    facets: config.facets.filter((facet) => !active.includes(facet)).map((facet) => facet.attribute),
    attributesToHighlight: ['*'],
    highlightPreTag: MARK_OPEN,
    highlightPostTag: MARK_CLOSE,
    attributesToCrop: ['*'],
    cropLength: CROP_WORDS,
    ...filterField(filterWithout(null)),
    ...(state.sort && { sort: [state.sort] }),
  };
  const widened = active.map((facet) => ({
    indexUid: config.index,
    q: state.query,
    limit: 0,
    facets: [facet.attribute],
    ...filterField(filterWithout(facet)),
  }));
  return [hits, ...widened];
}

const filterField = (filter) => (filter.length ? { filter } : {});

/** filterOf is one facet's filter: an array of alternatives, or an expression for a range; null for none. */
export function filterOf(facet, values) {
  if (!values?.length) return null;
  if (facet.type !== 'range') return values.map((value) => `${quote(facet.attribute)} = ${quote(value)}`);
  const range = parseRange(values[0]);
  if (!range) return null;
  const [low, high] = range;
  const name = quote(facet.attribute);
  if (low == null) return `${name} <= ${high}`;
  if (high == null) return `${name} >= ${low}`;
  return `${name} ${low} TO ${high}`;
}

/** quote makes a string literal of the filter language. */
export function quote(text) {
  return '"' + String(text).replace(/\\/g, '\\\\').replace(/"/g, '\\"') + '"';
}

/**
 * combine folds the answers into {hits, total, milliseconds, facets: {attribute: {values: [[value, count]], stats}}}.
 * results[i] answers queries[i] of build.
 */
export function combine(results) {
  const facets = {};
  for (const result of results) {
    for (const [attribute, distribution] of Object.entries(result.facetDistribution ?? {})) {
      facets[attribute] = { values: Object.entries(distribution), stats: result.facetStats?.[attribute] ?? null };
    }
  }
  const [main] = results;
  return {
    hits: main.hits,
    total: main.estimatedTotalHits ?? main.totalHits ?? main.hits.length,
    milliseconds: Math.max(...results.map((result) => result.processingTimeMs ?? 0)),
    facets,
  };
}

/** rescues are searches near one that found nothing: without the filters, and with one word less. */
export function rescues(state) {
  const words = state.query.trim().split(/\s+/).filter(Boolean);
  const found = [];
  if (Object.keys(state.filters).length) found.push({ ...state, filters: {}, page: 1 });
  if (words.length < 2) return found;
  for (let i = words.length - 1; i >= 0 && found.length < 6; i--) {
    found.push({ ...state, filters: {}, page: 1, query: words.filter((_, j) => j !== i).join(' ') });
  }
  return found;
}

/** similar lists the known queries within two edits of what was typed, nearest first. */
export function similar(query, known) {
  const typed = query.trim().toLowerCase();
  return known
    .map((text) => [edits(typed, text.toLowerCase()), text])
    .filter(([distance]) => distance > 0 && distance <= 2)
    .sort((a, b) => a[0] - b[0])
    .map(([, text]) => text);
}

/** edits is the Levenshtein distance. */
export function edits(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
