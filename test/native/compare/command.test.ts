import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { foldgate, startFoldgate } from '../../fixtures/command-line.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { picoData } from '../../fixtures/pico-cure.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const quick = ['--methods', 'reverse', '--budget', '0.33', '--cure-tokens', '0', '--held-out-tokens', '256'];

describe('foldgate compare', () => {
  it('prints a table, or rows as JSON, and writes the report', async () => {
    const folder = await temporaryFolder();
    const data = await picoData();
    const [report, other] = [join(folder, 'report.html'), join(folder, 'other.html')];
    // Without --out, results are found again by what they depend on.
    const run = (...args: string[]) =>
      startFoldgate(['compare', picoPath('llama'), '--data', data, ...quick, ...args], {
        FOLDGATE_CACHE: join(folder, 'cache'),
      }).result;
    const { code, stdout, stderr } = await run('--report', report);
    expect(code, stderr).toBe(0);
    const [header, rule, ...rows] = stdout.trimEnd().split('\n');
    expect(header).toMatch(/^\| method \| budget \| saved \| layers \|.*\| perplexity before \|/);
    expect(rule).toMatch(/^(\| -+:? )+\|$/);
    expect(rows).toHaveLength(2);
    expect(rows[1]).toMatch(/^\| reverse \| 33\.0% \| 33\.3% \| 2 \|/);
    for (const line of [rule!, ...rows]) expect(line.split('|')).toHaveLength(header!.split('|').length);
    expect(stderr).toMatch(/^\[3\/4\] reverse at 0\.33: perplexity \d/m);
    const page = await readFile(report, 'utf8');
    expect(page).toMatch(/^<!doctype html>[\s\S]*<\/html>\n$/);

    const again = await run('--json');
    const json = JSON.parse(again.stdout);
    expect(again.stderr.match(/done before/g)).toHaveLength(4);
    expect(json.rows.map((row: { method: string }) => row.method)).toEqual(['original', 'reverse']);
    expect(Object.keys(json.rows[1]).sort()).toEqual(
      ['budget', 'bytes', 'distinctBlockParameters', 'layers', 'method', 'model', 'parameters', 'perplexity']
        .concat(['quantization', 'saved', 'seconds', 'serving', 'tasks'])
        .sort(),
    );

    const made = await foldgate('report', json.folder, '--out', other);
    expect(made).toMatchObject({ code: 0, stdout: `${other}\n` });
    const dated = (text: string) => text.replace(/\d{4}-\d\d-\d\d/, 'DATE');
    expect(dated(await readFile(other, 'utf8'))).toBe(dated(page));
  });

  it.each([
    [['--budget', '1.2'], 'between 0 and 1'],
    [['--quantize', 'int3'], 'none of int4, int8, none'],
    [['--task', 'no-such-file'], 'No task could be read from no-such-file'],
  ])('refuses %j before it works', async (args, message) => {
    const folder = await temporaryFolder();
    const { code, stdout, stderr } = await foldgate(
      ...['compare', picoPath('llama'), '--data', await picoData(), ...quick, '--out', folder, ...args],
    );
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stdout).toBe('');
  });
});
