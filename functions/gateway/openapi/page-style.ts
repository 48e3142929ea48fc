/** The documentation's look, light or dark as the reader's system is. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --ink: #1d2329; --soft: #5d6770; --faint: #e4e2dd; --line: #c9c6bf;
  --get: #2c7a51; --post: #2f6db5; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --ink: #e6e8ea; --soft: #a0a9b2; --faint: #2d3338; --line: #4a525a;
    --get: #62c493; --post: #6ea8ec; --on: #10151a;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 6rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
a { color: var(--post); }
code, pre, textarea { font: .86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.soft { color: var(--soft); font-size: .9rem; }
nav { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .5rem 1.5rem; margin: 1.5rem 0 0; }
nav h2 { font-size: .9rem; color: var(--soft); font-weight: 500; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: .15rem 0; color: inherit; text-decoration: none; }
nav a:hover code { text-decoration: underline; }
main > section { margin-top: 1.5rem; padding: 1.1rem; background: var(--card); border: 1px solid var(--faint); border-radius: 10px; scroll-margin-top: 1rem; }
.method { display: inline-block; min-width: 3.1rem; padding: .05rem .35rem; border-radius: 4px; text-align: center;
  font-size: .7rem; font-weight: 600; letter-spacing: .03em; vertical-align: .08em; color: var(--on); background: var(--post); }
.method.get { background: var(--get); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; }
th, td { padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top; border-top: 1px solid var(--faint); min-width: 6rem; }
td:last-child { min-width: 14rem; padding-right: 0; }
thead th { border-top: 0; color: var(--soft); font-weight: 500; }
tbody th { font-weight: 600; white-space: nowrap; }
@media (max-width: 600px) {
  thead { position: absolute; clip-path: inset(50%); }
  tbody tr { display: block; padding: .45rem 0; border-top: 1px solid var(--faint); }
  tbody th, td { display: inline; border: 0; padding: 0 .5rem 0 0; }
  td:last-child { display: block; color: var(--soft); }
  td.default::before { content: "default "; }
}
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--post); font-size: .95rem; }
form { margin-top: .6rem; }
label { display: block; margin-bottom: .5rem; font-size: .86rem; color: var(--soft); }
input, textarea { display: block; width: 100%; margin-top: .2rem; padding: .45rem .6rem; color: var(--ink); background: var(--page);
  border: 1px solid var(--line); border-radius: 6px; font-size: .95rem; }
textarea { resize: vertical; font-size: .86rem; }
input { max-width: 26rem; }
button { padding: .4rem 1rem; border: 0; border-radius: 6px; background: var(--post); color: var(--on); font: inherit; font-size: .95rem; cursor: pointer; }
button.stop { background: none; color: var(--ink); box-shadow: inset 0 0 0 1px var(--line); }
:focus-visible { outline: 2px solid var(--post); outline-offset: 2px; }
output { color: var(--soft); font-size: .86rem; margin-left: .4rem; }
pre { max-height: 26rem; overflow: auto; margin: .7rem 0 0; padding: .7rem; background: var(--page); border: 1px solid var(--faint); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
`;
