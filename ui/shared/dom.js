// Builds DOM nodes. Text always goes in as text nodes: nothing here parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * h('button', {class: 'x', onclick: f, 'aria-label': 'y', disabled: true}, child, ...)
 * Properties that start with "on" are listeners; true sets an empty attribute; false, null and undefined set none.
 * Children are nodes, strings, numbers, arrays of these, or null.
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** svg is h for the drawing vocabulary. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((c) => c != null && c !== false));
  return node;
}

/** icon draws one of the 24×24 outlines below. */
export function icon(name) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));
}

const PATHS = {
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  close: 'M6 6l12 12M18 6L6 18',
  filter: 'M4 7h16M7 12h10M10 17h4',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5',
  moon: 'M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z',
  auto: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 8h7.5M12 12h9M12 16h7.5',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  pin: 'M12 21s7-6.2 7-11.5A7 7 0 0 0 5 9.5C5 14.8 12 21 12 21zM12 7a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z',
  warn: 'M12 4L2.5 20h19zM12 10v4.5M12 17.2v.3',
};
