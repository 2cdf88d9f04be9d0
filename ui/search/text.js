// Words, numbers and marked text for people. Pure but for marked, which makes nodes.
import { h } from '../shared/dom.js';
import { MARK_CLOSE, MARK_OPEN } from './query.js';

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?$/;
const YEAR_NAME = /year|^id$|_id$/i;
const DATE_NAME = /date|_at$|timestamp/i;

/** humanize makes a label of a field name: "other_names" and "otherNames" become "Other names". */
export function humanize(name) {
  const words = name.replace(/([a-z\d])([A-Z])/g, '$1 $2').replace(/[_\-.]+/g, ' ').trim().toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const formatNumber = (n) => numbers.format(n);
export const formatCompact = (n) => (Math.abs(n) < 10000 ? numbers.format(n) : compact.format(n));

/** formatValue writes a field's value for reading; objects as JSON. */
export function formatValue(name, value) {
  if (typeof value === 'number') return formatNumeric(name, value);
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  if (typeof value === 'string') return isDate(value) ? dates.format(new Date(value)) : value;
  if (Array.isArray(value)) return value.map((item) => formatValue(name, item)).join(', ');
  if (isPoint(value)) return formatPoint(value);
  return value == null ? '' : JSON.stringify(value);
}

function formatNumeric(name, value) {
  if (DATE_NAME.test(name) && value > 1e8) return dates.format(new Date(value > 1e11 ? value : value * 1000));
  return YEAR_NAME.test(name) ? String(value) : numbers.format(value);
}

export const isDate = (value) => typeof value === 'string' && ISO_DATE.test(value);
export const isPoint = (value) => value != null && typeof value === 'object' && 'lat' in value && 'lng' in value;

function formatPoint({ lat, lng }) {
  const side = (n, positive, negative) => `${Math.abs(n).toFixed(2)}° ${n < 0 ? negative : positive}`;
  return `${side(Number(lat), 'N', 'S')}, ${side(Number(lng), 'E', 'W')}`;
}

/** plain drops the placeholder tags. */
export const plain = (text) => String(text ?? '').replaceAll(MARK_OPEN, '').replaceAll(MARK_CLOSE, '');

export const isMarked = (text) => String(text).includes(MARK_OPEN);

/** marked turns text with placeholder tags into nodes: text nodes and <mark>. Never HTML. */
export function marked(text) {
  return String(text ?? '').split(MARK_OPEN).flatMap((part, i) => {
    if (i === 0) return part ? [part] : [];
    const [inside, after = ''] = part.split(MARK_CLOSE);
    return after ? [h('mark', {}, inside), after] : [h('mark', {}, inside)];
  });
}

/** fillTemplate replaces {field} (or {{field}}) in an address with the record's values, escaped. */
export function fillTemplate(template, record) {
  return template.replace(/\{\{?(\w+)\}?\}/g, (_, field) => encodeURIComponent(record[field] ?? ''));
}

/** safeLink lets only web addresses through. */
export function safeLink(address) {
  try {
    const url = new URL(address, location.href);
    return ['http:', 'https:'].includes(url.protocol) ? url.href : '';
  } catch {
    return '';
  }
}
