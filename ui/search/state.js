// What the visitor asked for, as a plain value, and its form in the address bar. Pure: no DOM, no network.
//
// state = {query, filters: {attribute: [value, ...]}, sort, page, perPage}
//   A range filter is one value "low-high", either end may be missing: "500-2000", "500-", "-2000".
//   sort is "field:asc" or "" for relevance; page counts from 1; perPage 0 means the page's default.

const RESERVED = ['q', 'sort', 'page', 'per', 'theme'];
const PREFIX = 'f.'; // before an attribute that has the name of a reserved parameter

export const EMPTY = Object.freeze({ query: '', filters: {}, sort: '', page: 1, perPage: 0 });

/** parse reads the query string of an address. Unknown parameters are filters: only those that are facets get used. */
export function parse(search) {
  const params = new URLSearchParams(search);
  const filters = {};
  for (const [name, value] of params) {
    if (RESERVED.includes(name) || value === '') continue;
    const attribute = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
    (filters[attribute] ??= []).push(value);
  }
  return {
    query: params.get('q') ?? '',
    filters,
    sort: params.get('sort') ?? '',
    page: positive(params.get('page'), 1),
    perPage: positive(params.get('per'), 0),
  };
}

/** format is the inverse of parse: the shortest query string for a state, "" for the empty one. */
export function format(state) {
  const params = new URLSearchParams();
  if (state.query) params.set('q', state.query);
  for (const attribute of Object.keys(state.filters).sort()) {
    const name = RESERVED.includes(attribute) || attribute.startsWith(PREFIX) ? PREFIX + attribute : attribute;
    for (const value of state.filters[attribute]) params.append(name, value);
  }
  if (state.sort) params.set('sort', state.sort);
  if (state.page > 1) params.set('page', state.page);
  if (state.perPage) params.set('per', state.perPage);
  const text = params.toString();
  return text && '?' + text;
}

function positive(text, otherwise) {
  const n = Number.parseInt(text, 10);
  return n > 0 ? n : otherwise;
}

// Each change below returns a new state. All but withPage go back to page 1: the old page of a new list means nothing.

export const withQuery = (state, query) => ({ ...state, query, page: 1 });
export const withSort = (state, sort) => ({ ...state, sort, page: 1 });
export const withPerPage = (state, perPage) => ({ ...state, perPage, page: 1 });
export const withPage = (state, page) => ({ ...state, page });

export function withToggled(state, attribute, value) {
  const old = state.filters[attribute] ?? [];
  return withValues(state, attribute, old.includes(value) ? old.filter((v) => v !== value) : [...old, value]);
}

export function withValues(state, attribute, values) {
  const filters = { ...state.filters };
  if (values.length) filters[attribute] = values;
  else delete filters[attribute];
  return { ...state, filters, page: 1 };
}

export const withoutFilters = (state) => ({ ...state, filters: {}, page: 1 });

export const hasFilters = (state) => Object.keys(state.filters).length > 0;

/** parseRange gives [low, high], null for an open end; null when the text is no range. */
export function parseRange(text) {
  const found = /^(-?\d+(?:\.\d+)?)?-(-?\d+(?:\.\d+)?)?$/.exec(text ?? '');
  if (!found || (found[1] === undefined && found[2] === undefined)) return null;
  return [found[1] === undefined ? null : Number(found[1]), found[2] === undefined ? null : Number(found[2])];
}

/** formatRange is the inverse; "" when both ends are open. */
export function formatRange(low, high) {
  return low == null && high == null ? '' : `${low ?? ''}-${high ?? ''}`;
}
