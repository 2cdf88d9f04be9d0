// The page's configuration: what the operator set, filled up with what the index itself tells. Pure but for load.
import { humanize } from './text.js';

const PER_PAGE = 24;
const REACHABLE = 1000; // Meilisearch's default pagination.maxTotalHits: hits after it cannot be asked for
const FEW_VALUES = 2; // a facet needs at least that many
const MOSTLY_UNIQUE = 0.9; // a "facet" whose values are nearly all different is an identifier

/** normalize fills raw (config.json) with defaults. facets is null when neither says which: derive finds them. */
export function normalize(raw, index) {
  const options = raw.per_page_options?.length ? raw.per_page_options : [12, 24, 48];
  return {
    index,
    title: raw.title || humanize(index),
    logo: raw.logo_url || '',
    accent: raw.accent_color || '',
    facets: raw.facets?.length ? raw.facets.map(facetOf) : null,
    sorts: sortsOf(raw),
    display: raw.display_attributes?.length ? raw.display_attributes : null,
    primaryKey: raw.primary_key_field || raw.primary_key || 'id',
    thumbnail: raw.thumbnail_field || '',
    link: raw.hit_url_template || '',
    layout: raw.result_template === 'list' ? 'list' : 'grid',
    perPage: raw.per_page_default || PER_PAGE,
    perPageOptions: options,
    reachable: raw.max_total_hits || REACHABLE,
    instant: raw.instant_search !== false,
    suggestions: raw.empty_state_query_suggestions ?? raw.popular_queries ?? [],
    popular: raw.popular_queries ?? raw.empty_state_query_suggestions ?? [],
  };
}

function facetOf(given) {
  const facet = typeof given === 'string' ? { attribute: given } : given;
  return {
    attribute: facet.attribute,
    type: facet.type === 'range' ? 'range' : 'checkbox',
    title: facet.title || humanize(facet.attribute),
    alphabetical: facet.sort === 'alpha',
    min: facet.min,
    max: facet.max,
    step: facet.step,
  };
}

function sortsOf(raw) {
  if (raw.sort_options?.length) return raw.sort_options.map(({ label, field }) => ({ label, value: direction(field) }));
  const fields = (raw.sortable_attributes ?? []).filter((field) => !field.startsWith('_'));
  return fields.flatMap((field) => [
    { label: `${humanize(field)} ↑`, value: `${field}:asc` },
    { label: `${humanize(field)} ↓`, value: `${field}:desc` },
  ]);
}

const direction = (field) => (field.includes(':') ? field : `${field}:asc`);

/** derive decides on facets from the answer to a search with facets ["*"]: few-valued ones first, numbers as ranges last. */
export function derive(config, answer) {
  const total = answer.estimatedTotalHits ?? 0;
  const facets = [];
  for (const [attribute, distribution] of Object.entries(answer.facetDistribution ?? {})) {
    const counts = Object.values(distribution);
    const stats = answer.facetStats?.[attribute];
    if (attribute.startsWith('_') || counts.length < FEW_VALUES) continue;
    const numeric = stats && Object.keys(distribution).every((value) => value !== '' && !Number.isNaN(Number(value)));
    if (numeric && counts.length > 8) facets.push({ ...facetOf({ attribute, type: 'range' }), rank: 1000 });
    else if (!isIdentifier(counts, total)) facets.push({ ...facetOf(attribute), rank: counts.length });
  }
  facets.sort((a, b) => a.rank - b.rank);
  return { ...config, facets };
}

function isIdentifier(counts, total) {
  return counts.length > 20 && counts.filter((n) => n === 1).length > MOSTLY_UNIQUE * Math.min(counts.length, total);
}
