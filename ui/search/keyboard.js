// Keys: / to the search box, arrows through the hits, Esc clears or goes back up, "g f" to the filters.

const CHORD_MS = 1000;

/** keyboard listens on the document. page = {input, hits(): [links in order], toFilters(), clear()} */
export function keyboard(page) {
  let chord = 0; // when "g" was pressed
  document.addEventListener('keydown', (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    const typing = event.target.matches?.('input:not([type=checkbox], [type=range]), select, textarea');
    if (moves(event.key) && moveFocus(event, page)) return event.preventDefault();
    if (event.key === 'Escape') return escape(event, page);
    if (typing) return undefined;
    if (event.key === '/') {
      event.preventDefault();
      page.input.focus();
      page.input.select();
    } else if (event.key === 'f' && event.timeStamp - chord < CHORD_MS) {
      event.preventDefault();
      page.toFilters();
    }
    chord = event.key === 'g' ? event.timeStamp : 0;
    return undefined;
  });
}

const moves = (key) => ['ArrowDown', 'ArrowUp', 'ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(key);

function escape(event, page) {
  const inHits = page.hits().includes(event.target);
  if (event.target === page.input) page.clear();
  else if (inHits) page.input.focus();
}

// moveFocus says whether the key was for the hits: down from the box, or any arrow on a hit.
function moveFocus(event, page) {
  const hits = page.hits();
  const at = hits.indexOf(event.target);
  if (event.target === page.input) {
    if (event.key !== 'ArrowDown' || !hits.length) return false;
    hits[0].focus();
    return true;
  }
  if (at < 0) return false;
  const to = next(event.key, at, hits);
  if (to < 0) page.input.focus();
  else hits[Math.min(to, hits.length - 1)].focus();
  return true;
}

function next(key, at, hits) {
  const columns = columnsOf(hits);
  switch (key) {
    case 'ArrowDown': return at + columns < hits.length || at === hits.length - 1 ? at + columns : hits.length - 1;
    case 'ArrowUp': return at - columns;
    case 'ArrowRight': return at + 1;
    case 'ArrowLeft': return Math.max(at - 1, 0);
    case 'Home': return 0;
    default: return hits.length - 1;
  }
}

// columnsOf counts the hits in the first row as laid out now.
function columnsOf(hits) {
  const top = hits[0].closest('li').offsetTop;
  const second = hits.findIndex((hit) => hit.closest('li').offsetTop !== top);
  return second < 0 ? hits.length : second;
}
