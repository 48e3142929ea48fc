/** The page's look, light or dark as the reader's system is. Nothing is loaded. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --ink: #1d2329; --soft: #5d6770; --faint: #e4e2dd; --line: #c9c6bf;
  --kept: #2f6db5; --removed: #c4562e; --gone: #efece6; --on: #ffffff; --best: #eef4fb;
  --c0: #2f6db5; --c1: #c4562e; --c2: #2c8a5b; --c3: #8a5bb5; --c4: #b08309; --c5: #b83b74; --c6: #5d6770; --c7: #168a9a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --ink: #e6e8ea; --soft: #a0a9b2; --faint: #2d3338; --line: #4a525a;
    --kept: #6ea8ec; --removed: #f08a5d; --gone: #262b30; --on: #10151a; --best: #1f2c3a;
    --c0: #6ea8ec; --c1: #f08a5d; --c2: #62c493; --c3: #b995e0; --c4: #dfb54a; --c5: #ec7fae; --c6: #a0a9b2; --c7: #54c3d2;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 3.25rem 0 .4rem; }
h3 { font-size: 1rem; margin: 0 0 .75rem; font-weight: 600; }
p { margin: .4rem 0 1rem; max-width: 44rem; }
a { color: var(--kept); }
.lead { font-size: 1.1rem; }
.soft, figcaption, small { color: var(--soft); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; padding: 0; margin: 1.25rem 0 0; list-style: none; font-size: .9rem; }
figure { margin: 1rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--faint); border-radius: 10px; }
figcaption { font-size: .9rem; margin-bottom: .5rem; }
figure > svg { display: block; width: 100%; height: auto; }
/* Narrower, the numbers could not be read. */
@media (max-width: 560px) { figure { overflow-x: auto; } figure > svg { min-width: 560px; } .grid-2 figure > svg { min-width: 320px; } }
figure.square > svg { max-width: 560px; margin: 0 auto; }
.grid-2 { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1rem; }
.grid-2 figure { margin: 0; }
.scroll { overflow-x: auto; margin: 1rem 0; background: var(--card); border: 1px solid var(--faint); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .55rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--faint); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; }
tbody th { font-weight: 600; }
th:first-child, .text { text-align: left; }
td.text { white-space: normal; min-width: 7rem; }
tr.best { background: var(--best); }
.notes { font-size: .86rem; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 0 0 .5rem; padding: 0; list-style: none; font-size: .88rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
.swatch { width: .8rem; height: .8rem; border-radius: 3px; background: var(--kept); }
.swatch.removed { background: var(--removed); }
.sample { margin: 1rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--faint); border-radius: 10px; }
dl { margin: 0; }
dl > div { display: grid; grid-template-columns: 8.5rem 1fr; gap: .75rem; padding: .45rem 0; border-top: 1px solid var(--faint); }
dt { color: var(--soft); font-size: .88rem; }
dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .93rem; }
@media (max-width: 560px) { dl > div { grid-template-columns: 1fr; gap: 0; } }
.scale { display: flex; align-items: center; justify-content: center; gap: .6rem; margin: .25rem auto 0; font-size: .85rem; color: var(--soft); }
.ramp { width: 12rem; height: .7rem; border-radius: 4px; background: linear-gradient(90deg, color-mix(in srgb, var(--kept) 4%, transparent), var(--kept)); }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg text.name { fill: var(--ink); font-size: 13px; }
svg text.label { font-size: 12.5px; }
svg text.on { fill: var(--on); font-size: 11px; }
svg text.end.removed { fill: var(--removed); font-weight: 600; }
.axis line { stroke: var(--line); }
.axis line.grid { stroke: var(--faint); }
.heat { fill: var(--kept); }
.heat:hover, .bar:hover, .kept:hover { stroke: var(--ink); stroke-width: 1.5; }
.kept { fill: var(--kept); }
.gone { fill: var(--gone); stroke: var(--line); stroke-dasharray: 3 3; }
.patch { fill: var(--c4); }
.bar { fill: var(--kept); }
.bar.removed { fill: var(--removed); }
.front { fill: none; stroke: var(--soft); stroke-width: 6; stroke-linecap: round; stroke-linejoin: round; stroke-dasharray: .1 10; opacity: .6; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.gate { stroke: var(--kept); stroke-width: 1.5; opacity: .75; }
.gate.removed { stroke: var(--removed); opacity: 1; }
.dash-1 { stroke-dasharray: 7 4; } .dash-2 { stroke-dasharray: 3 3; } .dash-3 { stroke-dasharray: 1 4; }
.mark { stroke: var(--card); stroke-width: 1.5; }
.mark:hover { stroke: var(--ink); }
${[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `.c${i} { fill: var(--c${i}); } .s${i} { stroke: var(--c${i}); }`).join('\n')}
@media print { body { background: none; } figure, .sample, tr { break-inside: avoid; } nav { display: none; } }
`;
