import { describe, expect, it } from 'vitest';
import { read, sources } from './source-tree.ts';

/** Lines. Beyond this a file holds more than one concept. */
const longest = 350;

/** Tools that ask for a default export: Vitest's configuration, k6's scripts. */
const defaultExports = /\.config\.ts$|^load\/k6\//;

describe('source files', () => {
  it(`are no longer than ${longest} lines`, () => {
    const long = sources.map((path) => ({ path, lines: read(path).split('\n').length - 1 }));
    expect(long.filter(({ lines }) => lines > longest)).toEqual([]);
  });

  it('have kebab-case names', () => {
    const names = sources.flatMap((path) => path.split('/').map((name) => ({ path, name })));
    const kebab = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/;
    expect(names.filter(({ name }) => !kebab.test(name))).toEqual([]);
  });

  it('export names, not defaults', () => {
    const found = sources.filter(
      (path) => !defaultExports.test(path) && /^export (default\b|\{[^}]*\bas default\b)/m.test(read(path)),
    );
    expect(found).toEqual([]);
  });

  it('import with the extension that Node resolves', () => {
    const bare = sources.filter((path) => /\bfrom '\.{1,2}\/[^']*(?<!\.(?:ts|js|json))'/.test(read(path)));
    expect(bare).toEqual([]);
  });
});

describe('syntax', () => {
  it('is what Node 22.18 parses: `using` came with Node 24', () => {
    const declaration = /^\s*(await )?using \w+ =/m;
    expect(sources.filter((path) => !/^(infra\/)?test\//.test(path) && declaration.test(read(path)))).toEqual(
      [],
    );
  });
});
