// Runs before the first paint: applies the remembered theme. "auto" follows the system.
(() => {
  let theme = 'auto';
  try {
    theme = localStorage.getItem('miroir.theme') || 'auto';
  } catch {
    // Storage is closed to this page; the system's theme will do.
  }
  document.documentElement.dataset.theme = theme;
})();
