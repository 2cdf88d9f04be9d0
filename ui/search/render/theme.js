// The button that goes round the themes: as the system, light, dark. The choice is remembered; theme.js applies it on load.
import { h, icon } from '../../shared/dom.js';
import { strings } from '../strings.js';

const THEMES = ['auto', 'light', 'dark'];
const ICONS = { auto: 'auto', light: 'sun', dark: 'moon' };

export function createThemeToggle() {
  const root = document.documentElement;
  const button = h('button', { class: 'icon-button', type: 'button', onclick: turn });
  function turn() {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    root.dataset.theme = next;
    try {
      localStorage.setItem('miroir.theme', next);
    } catch {
      // Not remembered: storage is closed to this page.
    }
    draw();
  }
  function draw() {
    const theme = THEMES.includes(root.dataset.theme) ? root.dataset.theme : 'auto';
    button.setAttribute('aria-label', strings.theme[theme]);
    button.title = strings.theme[theme];
    button.replaceChildren(icon(ICONS[theme]));
  }
  draw();
  return button;
}
