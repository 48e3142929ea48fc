import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

const root = join(import.meta.dirname, '..', '..', '..');

/** What .gitignore names, and git's own folder. */
const skipped = new Set(['.git', 'node_modules', 'dist', '.tools', '.cache', 'models', 'coverage']);
const skippedEndings = /\.(tgz|log)$/;

/** The project's files, paths relative to the root. No git needed: a source archive has no .git. */
export const files: string[] = [...walk('')].sort();

/** TypeScript and JavaScript that people write and read. */
export const sources: string[] = files.filter(
  (path) => /\.[cm]?[jt]s$/.test(path) && !path.includes('/generated/'),
);

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (skipped.has(path)) continue;
    if (entry.isDirectory()) {
      if (entry.name !== 'node_modules' && entry.name !== '__pycache__') yield* walk(path);
    } else if (!skippedEndings.test(entry.name)) yield path;
  }
}

/**
 * Every module that `text` names: static imports and re-exports (of types too), dynamic imports, `require`
 * and `new URL('./x', import.meta.url)`, which is how workers are started. Statements are found at the
 * start of a line, where the formatter puts them, so that comments don't count.
 */
export function specifiersOf(text: string): string[] {
  const patterns = [
    /^[ \t]*(?:import|export)\s(?:[^'"`;()]*?\sfrom\s*)?['"]([^'"]+)['"]/gm,
    /\b(?:import|require|require\.resolve|import\.meta\.resolve|createRequire\(import\.meta\.url\)(?:\.resolve)?)\(\s*['"`]([^'"`]+)['"`]/g,
    /\bnew URL\(\s*['"`](\.[^'"`]+)['"`]/g,
  ];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]!));
}

/** As `specifiersOf`, with relative ones resolved to paths from the root. */
export function importsOf(path: string): string[] {
  return specifiersOf(read(path)).map((specifier) =>
    specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier,
  );
}

/** Whether the import is of `dependency` itself or of a module in it (`pkg/sub`); a scope ends in `/`. */
export function isOf(specifier: string, dependency: string): boolean {
  return dependency.endsWith('/')
    ? specifier.startsWith(dependency)
    : specifier === dependency || specifier.startsWith(`${dependency}/`);
}
