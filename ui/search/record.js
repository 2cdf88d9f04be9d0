// What of a record goes where on its card. Pure: from field names and values alone, unless the configuration says.
import { isDate, isMarked, isPoint, plain } from './text.js';

const TITLE = ['title', 'name', 'label', 'headline', 'subject'];
const TEXT = ['description', 'overview', 'summary', 'abstract', 'excerpt', 'content', 'body', 'text', 'comment'];
const PICTURE = /image|poster|thumb|picture|photo|avatar|cover|logo/i;
const SYMBOL = /^(?:\p{Regional_Indicator}{2}|\p{Extended_Pictographic}[\p{Emoji_Modifier}\uFE0F\u200D\p{Extended_Pictographic}]*)$/u;
const SHORT = 48;

/**
 * layout gives {title, symbol, picture, subtitle: [field], text, matches: [field], facts: [field]}: names of fields.
 * hit._formatted holds the marked values.
 */
export function layout(hit, config) {
  const fields = (config.display ?? Object.keys(hit)).filter((field) => !field.startsWith('_') && hit[field] != null);
  const strings = fields.filter((field) => typeof hit[field] === 'string' && hit[field] !== '');
  const symbol = strings.find((field) => SYMBOL.test(hit[field])) ?? Object.keys(hit).find((f) => SYMBOL.test(hit[f])) ?? '';
  const picture = pictureField(hit, config);
  const title = titleField(fields, strings, config, [symbol, picture]);
  const used = new Set([title, symbol, picture, config.primaryKey]);
  const text = textField(hit, strings.filter((field) => !used.has(field)));
  used.add(text);
  const rest = fields.filter((field) => !used.has(field));
  const short = rest.filter((field) => typeof hit[field] === 'string' && hit[field].length <= SHORT && !isDate(hit[field]) && !isAddress(hit[field]));
  const subtitle = short.slice(0, 3);
  const facts = rest.filter((field) => typeof hit[field] === 'number' || isDate(hit[field])).slice(0, 3);
  const shown = new Set([title, text, ...subtitle]);
  const matches = matchedFields(hit).filter((field) => !shown.has(field)).slice(0, 2);
  return { title, symbol, picture, subtitle, text, facts, matches };
}

function titleField(fields, strings, config, others) {
  const can = strings.filter((field) => !others.includes(field));
  if (config.display && can.includes(config.display[0])) return config.display[0];
  return TITLE.find((field) => can.includes(field)) ?? can.find((field) => field !== config.primaryKey) ?? config.primaryKey;
}

function textField(hit, strings) {
  const known = TEXT.find((field) => strings.includes(field));
  if (known) return known;
  const long = strings.filter((field) => hit[field].length > SHORT && !isAddress(hit[field]));
  return long.sort((a, b) => hit[b].length - hit[a].length)[0] ?? '';
}

function pictureField(hit, config) {
  const can = config.thumbnail ? [config.thumbnail] : Object.keys(hit).filter((field) => PICTURE.test(field));
  return can.find((field) => isAddress(hit[field])) ?? '';
}

const isAddress = (value) => typeof value === 'string' && /^(https?:)?\/\S+$/.test(value);

// matchedFields are fields other than numbers in which the query was found.
function matchedFields(hit) {
  return Object.entries(hit._formatted ?? {})
    .filter(([field, value]) => !field.startsWith('_') && typeof hit[field] !== 'number' && markedParts(value).length)
    .map(([field]) => field);
}

/** markedParts are the strings inside a formatted value that hold a match. */
export function markedParts(value) {
  if (typeof value === 'string') return isMarked(value) ? [value] : [];
  if (Array.isArray(value)) return value.flatMap(markedParts);
  return value && typeof value === 'object' && !isPoint(value) ? Object.values(value).flatMap(markedParts) : [];
}

/** initial is the letter on the tile of a record without a picture. */
export function initial(title) {
  const letter = /[\p{L}\p{N}]/u.exec(plain(title));
  return letter ? letter[0].toLocaleUpperCase() : '•';
}

/** hue spreads titles over the tile colours, 0 to 11. */
export function hue(title) {
  let sum = 0;
  for (const character of title) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % 12;
}
