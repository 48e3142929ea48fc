import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { FileStore } from '../../../artifact/store/file.ts';
import { parseDuration } from '../../../cli/duration.ts';
import { formatCount, formatTable } from '../../../cli/table.ts';
import { foldgate } from '../../fixtures/command-line.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

async function storeWithTiny() {
  const folder = await temporaryFolder();
  const store = new FileStore(join(folder, 'models'));
  const { manifest, files } = await makeStoredModel(join(folder, 'source'));
  const version = await publish(store, 'tiny', manifest, files);
  return { folder, root: join(folder, 'models'), manifest, version };
}

describe('foldgate list', () => {
  it('prints a table, and everything as JSON', async () => {
    const { root, version } = await storeWithTiny();
    const table = await foldgate('list', root);
    expect(table).toMatchObject({ code: 0, stderr: '' });
    expect(table.stdout).toMatch(
      /^NAME +ARCHITECTURE +LAYERS +BLOCKS .*\ntiny +llama +6 +3 +60\.0 K +9\.90? kB /,
    );
    const json = await foldgate('list', `file:${root}`, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject([{ name: 'tiny', version, distinctBlocks: 3 }]);
  });

  it('says where it found nothing, and lists the others beside a damaged model', async () => {
    const { folder, root } = await storeWithTiny();
    const empty = await foldgate('list', join(folder, 'nowhere'));
    expect(empty).toMatchObject({ code: 0, stdout: '' });
    expect(empty.stderr).toContain(`no models in file:${join(folder, 'nowhere')}`);
    await foldgate('copy', join(root, 'tiny'), join(root, 'damaged'));
    await writeFile(join(root, 'models', 'damaged', 'current.json'), '');
    const { code, stdout, stderr } = await foldgate('list', root);
    expect(code).toBe(0);
    expect(stdout).toContain('tiny');
    expect(stderr).toMatch(/damaged cannot be read: .*is no pointer/);
  });
});

describe('foldgate inspect', () => {
  it('says which layers run one half, where some do', async () => {
    const { folder, root, manifest } = await storeWithTiny();
    const whole = await foldgate('inspect', join(root, 'tiny'));
    expect(whole.stdout).not.toContain('RUNS');
    const { files } = await makeStoredModel(join(folder, 'again'));
    const layers = manifest.layers.map((layer, i) => (i === 1 ? { ...layer, half: 'mlp' as const } : layer));
    await publish(new FileStore(root), 'halved', { ...manifest, schemaVersion: 2, layers }, files);
    const { stdout } = await foldgate('inspect', join(root, 'halved'));
    expect(stdout).toMatch(/LAYER +SOURCE +BLOCK +RUNS +SHARED/);
    expect(stdout).toMatch(/ 1 +2 +0 +mlp alone /);
    expect(stdout).toMatch(/ 2 +3 +1 +both halves /);
  });

  it('does not fill the screen with a plan', async () => {
    const { folder, root, manifest } = await storeWithTiny();
    const { files } = await makeStoredModel(join(folder, 'again'));
    const plan = { version: 1, gates: Array.from({ length: 60 }, (_, step) => ({ step, loss: 2 })) };
    const folding = { ...manifest.folding, options: { remove: 0.25, plan } };
    await publish(new FileStore(root), 'planned', { ...manifest, folding }, files);
    const { stdout } = await foldgate('inspect', join(root, 'planned'));
    expect(stdout).toMatch(/^ {2}remove +0\.25$/m);
    expect(stdout).toMatch(
      /^ {2}plan +\{"version":1,.{20,40}\.\.\. \(in words by "foldgate explain", whole in --json\)$/m,
    );
    const json = await foldgate('inspect', join(root, 'planned'), '--json');
    expect(JSON.parse(json.stdout).folding.options.plan).toEqual(plan);
  });

  it('prints the fields programs rely on', async () => {
    const { root, manifest } = await storeWithTiny();
    const { code, stdout, stderr } = await foldgate('inspect', join(root, 'tiny'), '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      name: 'tiny',
      architecture: 'llama',
      layers: manifest.layers,
      distinctBlocks: 3,
      bytes: 9900,
      parameters: 60_000,
      quantization: manifest.quantization,
      exceptions: [],
      narrower: [],
      method: 'influence',
    });
  });

  it('shows people which layers share a block', async () => {
    const { root } = await storeWithTiny();
    const { stdout } = await foldgate('inspect', join(root, 'tiny'));
    expect(stdout).toContain('6, running 3 distinct blocks');
    expect(stdout).toContain('60.0 K of 100.0 K (40.0% saved)');
    expect(stdout).toContain('4 bits, a scale per 128 weights: qkv, output, gate, up;');
    expect(stdout).toContain('float32: embedding');
    expect(stdout).toMatch(/LAYER {2}SOURCE {2}BLOCK {2}SHARED WITH LAYERS\n {4}0 {7}1 {6}0 {2}1\n/);
    expect(stdout).toMatch(/\n {4}5 {7}6 {6}2 {2}4\n/);
  });

  it('names the models that exist', async () => {
    const { root } = await storeWithTiny();
    const { code, stdout, stderr } = await foldgate('inspect', join(root, 'tinny'));
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('There is no model tinny');
    expect(stderr).toContain('There are: tiny.');
  });

  it.each(['gs://bucket/tiny', 's3://bucket', './models/.x'])('exits with 2 for %s', async (url) => {
    const { code, stderr } = await foldgate('inspect', url);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Expected/);
    expect(stderr).not.toMatch(/\n {4}at /); // No stack.
  });
});

describe('foldgate verify, copy', () => {
  it('finds a broken blob, which a copy with --rewrite repairs', async () => {
    const { folder, root, manifest } = await storeWithTiny();
    const copy = join(folder, 'copies', 'tiny');
    expect((await foldgate('copy', join(root, 'tiny'), copy)).code).toBe(0);
    expect(await foldgate('verify', copy)).toMatchObject({
      code: 0,
      stdout: 'tiny is whole: 7 blobs, 9.90 kB.\n',
    });

    const victim = manifest.weights[2]!.sha256;
    const path = join(folder, 'copies', 'blobs', victim);
    const bytes = await readFile(path);
    bytes[0]! ^= 1;
    await writeFile(path, bytes);
    const broken = await foldgate('verify', copy);
    expect(broken.code).toBe(1);
    expect(broken.stdout).toMatch(
      new RegExp(`^blobs/${victim} has sha256 [0-9a-f]{64}, expected ${victim}\\.\n$`),
    );
    expect(broken.stderr).toContain('1 of 7 blobs of tiny are broken');
    const json = await foldgate('verify', copy, '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout).broken).toMatchObject([{ sha256: victim }]);

    expect((await foldgate('copy', join(root, 'tiny'), copy, '--rewrite')).code).toBe(0);
    expect((await foldgate('verify', copy)).code).toBe(0);
  });

  it('does not copy a model whose source is broken', async () => {
    const { folder, root, manifest } = await storeWithTiny();
    await truncate(join(root, 'blobs', manifest.graph.sha256), 5);
    const { code, stderr } = await foldgate('copy', join(root, 'tiny'), join(folder, 'copies', 'tiny'));
    expect(code).toBe(1);
    expect(stderr).toContain('has 5 bytes, expected 700');
    expect((await foldgate('inspect', join(folder, 'copies', 'tiny'))).code).toBe(1);
  });
});

describe('foldgate remove, gc', () => {
  it('removes the name at once, and the blobs when they are collected', async () => {
    const { root } = await storeWithTiny();
    expect((await foldgate('remove', join(root, 'tiny'))).code).toBe(0);
    expect((await foldgate('remove', join(root, 'tiny'))).code).toBe(1);
    const young = await foldgate('gc', root);
    expect(young).toMatchObject({ code: 0, stdout: '' });
    expect(young.stderr).toContain('Deleted 0 blobs');
    const planned = await foldgate('gc', root, '--older-than', '0s', '--dry-run');
    expect(planned.stdout.trim().split('\n')).toHaveLength(7);
    expect(await readdir(join(root, 'blobs'))).toHaveLength(7);
    const done = await foldgate('gc', root, '--older-than', '0s', '--json');
    expect(JSON.parse(done.stdout)).toMatchObject({ dryRun: false, bytes: 9900, uploads: 0, manifests: [] });
    expect(await readdir(root)).toEqual([]);
  });

  it('exits with 2 for what is no duration', async () => {
    const { code, stderr } = await foldgate('gc', 'models', '--older-than', '24');
    expect(code).toBe(2);
    expect(stderr).toContain('"24" is no duration');
  });
});

describe('durations', () => {
  it.each([
    ['0s', 0],
    ['90s', 90_000],
    ['1.5h', 5_400_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
  ])('%s is %d ms', (written, ms) => {
    expect(parseDuration(written)).toBe(ms);
  });

  it.each(['', '24', 'h', '-1h', '1w', '1 h', '1e9s', '9999999d'])('%j is none', (written) => {
    expect(() => parseDuration(written)).toThrow(UsageError);
  });
});

describe('tables', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1.0 K'],
    [999_949, '999.9 K'],
    [999_950, '1.0 M'],
    [134_515_008, '134.5 M'],
    [1_543_714_304, '1.5 B'],
  ])('%d parameters are %s', (count, expected) => {
    expect(formatCount(count)).toBe(expected);
  });

  it('puts numbers to the right, text to the left, and no blanks at the end', () => {
    const rows = [
      ['a', 1, 'x'],
      ['bcd', 22, ''],
    ];
    expect(formatTable(['NAME', 'N', 'Z'], rows)).toBe('NAME   N  Z\na      1  x\nbcd   22');
  });
});
