// Runs before anything is painted: a theme that was chosen earlier must not come after a flash of the other.
try {
  const chosen = localStorage.getItem('foldgate.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing for pages.
}
