// A facet over numbers: two thumbs on one track and two boxes to type in. Wide ranges of positive numbers use a log scale.
import { h } from '../../shared/dom.js';
import { formatRange, parseRange } from '../state.js';
import { strings } from '../strings.js';
import { formatCompact } from '../text.js';

const STEPS = 1000;
const LOG_RATIO = 500;

export function createRange(facet, actions) {
  let bounds = null; // [least, greatest] of the values there are
  let scale = null;
  const thumb = (label) => h('input', { type: 'range', min: 0, max: STEPS, step: 1, 'aria-label': label, oninput: dragged, onchange: commit });
  const field = (label) => h('input', { type: 'number', step: 'any', 'aria-label': label, onchange: typed });
  const low = thumb(strings.from(facet.title));
  const high = thumb(strings.to(facet.title));
  const lowField = field(strings.from(facet.title));
  const highField = field(strings.to(facet.title));
  const fill = h('i', {});
  const track = h('div', { class: 'track' }, fill, low, high);
  const ends = h('div', { class: 'ends' }, lowField, h('span', { 'aria-hidden': 'true' }, '–'), highField);
  const none = h('p', { class: 'soft' }, strings.noValues);
  const element = h('fieldset', { class: 'facet range' }, h('legend', {}, facet.title), track, ends, none);

  function draw(from, to) {
    low.value = scale.position(from);
    high.value = scale.position(to);
    low.setAttribute('aria-valuetext', formatCompact(from));
    high.setAttribute('aria-valuetext', formatCompact(to));
    lowField.value = from;
    highField.value = to;
    paint();
  }

  function paint() {
    fill.style.setProperty('--from', `${(low.value / STEPS) * 100}%`);
    fill.style.setProperty('--to', `${100 - (high.value / STEPS) * 100}%`);
    low.classList.toggle('upper', low.value > STEPS / 2); // so that thumbs on the same end can both be grabbed
  }

  function dragged(event) {
    if (Number(low.value) > Number(high.value)) event.target.value = event.target === low ? high.value : low.value;
    lowField.value = scale.value(Number(low.value));
    highField.value = scale.value(Number(high.value));
    event.target.setAttribute('aria-valuetext', formatCompact(scale.value(Number(event.target.value))));
    paint();
  }

  function commit() {
    choose(scale.value(Number(low.value)), scale.value(Number(high.value)));
  }

  function typed() {
    choose(lowField.value === '' ? bounds[0] : Number(lowField.value), highField.value === '' ? bounds[1] : Number(highField.value));
  }

  // An end at its bound is open: the filter must not cut off what another search would bring.
  function choose(from, to) {
    const [least, greatest] = bounds;
    const text = formatRange(from > least ? from : null, to < greatest ? to : null);
    actions.setValues(facet.attribute, text ? [text] : []);
  }

  return {
    element,
    update({ result, state }) {
      if (!result) return;
      const stats = result.facets[facet.attribute]?.stats;
      const usable = stats && stats.max > stats.min;
      track.hidden = ends.hidden = !usable;
      none.hidden = Boolean(usable);
      none.textContent = stats ? strings.onlyValue(stats.min) : strings.noValues;
      if (!usable || element.contains(document.activeElement) && document.activeElement.matches(':active')) return;
      bounds = [facet.min ?? stats.min, facet.max ?? stats.max];
      scale = makeScale(...bounds, facet.step);
      const [from, to] = parseRange(state.filters[facet.attribute]?.[0]) ?? [null, null];
      draw(from ?? bounds[0], to ?? bounds[1]);
    },
  };
}

/** makeScale maps values to 0..STEPS and back; whole numbers stay whole, the ends stay exact. */
export function makeScale(least, greatest, step) {
  const log = least > 0 && greatest / least > LOG_RATIO || least === 0 && greatest > LOG_RATIO * 10;
  const up = log ? (x) => Math.log(x + 1) : (x) => x;
  const down = log ? (x) => Math.exp(x) - 1 : (x) => x;
  const width = up(greatest) - up(least);
  const whole = Number.isInteger(least) && Number.isInteger(greatest) && greatest - least > 2;
  return {
    position: (value) => Math.round(((up(Math.min(Math.max(value, least), greatest)) - up(least)) / width) * STEPS),
    value(position) {
      if (position <= 0) return least;
      if (position >= STEPS) return greatest;
      const exact = down(up(least) + (position / STEPS) * width);
      return round(exact, step ?? (whole ? Math.max(1, magnitude(exact)) : width / STEPS));
    },
  };
}

// magnitude is a hundredth of the power of ten below x: two or three significant digits are enough for a slider.
const magnitude = (x) => 10 ** (Math.floor(Math.log10(Math.abs(x) || 1)) - 2);
const round = (x, step) => Number((Math.round(x / step) * step).toFixed(6));
