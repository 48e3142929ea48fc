import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addSettings, givenFlags, readSettings } from '../../../cli/settings/read-settings.ts';
import { checkServeSettings, draftOf, serveSettings } from '../../../cli/settings/serve-settings.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

type Environment = Record<string, string>;

/** The settings as `serve` would read them. */
async function read(line: string, environment: Environment = {}, file?: unknown) {
  const command = addSettings(new Command('serve'), serveSettings).exitOverride();
  command.parse(line.split(' ').filter(Boolean), { from: 'user' });
  let flags = givenFlags(command);
  if (file !== undefined) {
    const path = join(await temporaryFolder(), 'foldgate.json');
    await writeFile(path, typeof file === 'string' ? file : JSON.stringify(file));
    flags = { ...flags, config: path };
  }
  return await readSettings(serveSettings, { flags, environment }, checkServeSettings);
}

const store = '--store models';

describe('settings', () => {
  it('have defaults', async () => {
    const settings = await read(store);
    expect(settings).toMatchObject({
      store: 'models',
      host: '127.0.0.1',
      port: 8080,
      slots: 8,
      refresh: 30_000,
    });
    expect(settings.model).toBeUndefined();
    expect(settings.spinning).toBe(true);
  });

  it('come from the flag, else the environment, else the file', async () => {
    const environment = { FOLDGATE_SLOTS: '2', FOLDGATE_PORT: '2', FOLDGATE_CACHE_SIZE: '2GB' };
    const file = { slots: 3, port: 3, cacheSize: 3, context: 3 };
    const settings = await read(`${store} --slots 1`, environment, file);
    expect(settings).toMatchObject({ slots: 1, port: 2, cacheSize: 2e9, context: 3 });
  });

  it('take the port of container platforms, unless there is one of their own', async () => {
    expect((await read(store, { PORT: '81' })).port).toBe(81);
    expect((await read(store, { PORT: '81', FOLDGATE_PORT: '82' })).port).toBe(82);
  });

  it('read an empty variable as none', async () => {
    expect((await read(store, { FOLDGATE_SLOTS: '' })).slots).toBe(8);
  });

  it('have lists from flags, from commas and from arrays', async () => {
    const expected = [
      { id: 'a', name: 'a' },
      { id: 'org/b', name: 'c' },
    ];
    expect((await read(`${store} --model a --model org/b=c`)).model).toEqual(expected);
    expect((await read(store, { FOLDGATE_MODEL: 'a, org/b=c' })).model).toEqual(expected);
    expect((await read(store, {}, { model: ['a', 'org/b=c'] })).model).toEqual(expected);
  });

  it('name what drafts, for all or for one', async () => {
    const expected = [
      { model: undefined, name: 'a' },
      { model: 'b', name: 'c' },
    ];
    expect((await read(`${store} --draft a --draft b=c`)).draft).toEqual(expected);
    expect((await read(store, { FOLDGATE_DRAFT: 'a, b=c' })).draft).toEqual(expected);
    expect((await read(store, {}, { draft: ['a', 'b=c'] })).draft).toEqual(expected);
    await expect(read(`${store} --draft a=`)).rejects.toThrow('"a=" is neither NAME nor MODEL=NAME');
    expect(draftOf(expected, 'x')).toBe('a');
    expect(draftOf(expected, 'b')).toBe('c');
    expect(draftOf(expected, 'a')).toBeUndefined(); // not for itself
    expect(draftOf(undefined, 'x')).toBeUndefined();
    expect(draftOf([{ model: 'a', name: 'a' }], 'a')).toBe('a'); // unless that is said
    const speculation = read(`${store} --draft a --no-speculation`);
    await expect(speculation).rejects.toThrow('--draft and --no-speculation exclude each other');
  });

  it('can be turned off again', async () => {
    expect((await read(`${store} --no-spinning`)).spinning).toBe(false);
    expect((await read(store, { FOLDGATE_SPINNING: '0' })).spinning).toBe(false);
    expect((await read(store, {}, { spinning: false })).spinning).toBe(false);
    expect((await read(`${store} --preload`)).preload).toBe(true);
    expect((await read(store, { FOLDGATE_PRELOAD: 'true' })).preload).toBe(true);
  });

  it('tell all mistakes at once, and where they are', async () => {
    const reading = read(
      '--slots 0 --model a=b=c',
      { FOLDGATE_MEMORY: 'lots' },
      { port: 'x', slot: 1, refresh: 5.5 },
    );
    await expect(reading).rejects.toThrow('--store is missing: where the models are');
    await expect(reading).rejects.toThrow('--slots is "0": a whole number above 0 is expected');
    await expect(reading).rejects.toThrow('"a=b=c" is neither NAME nor ALIAS=NAME');
    await expect(reading).rejects.toThrow('FOLDGATE_MEMORY is "lots": a size such as 500MB');
    await expect(reading).rejects.toThrow(/foldgate\.json: port is "x": a port from 0 to 65535/);
    await expect(reading).rejects.toThrow(
      /foldgate\.json: there is no setting "slot"; there are store, model/,
    );
  });

  it.each([
    ['{"slots": ', /cannot be read/],
    ['[1]', /should be a JSON object/],
  ])('say when %s is the file', async (file, message) => {
    await expect(read(store, {}, file)).rejects.toThrow(message);
  });

  it('are all in the help, with their variables', () => {
    const help = addSettings(new Command('serve'), serveSettings).helpInformation().replace(/\s+/g, ' ');
    for (const [name, { flag }] of Object.entries(serveSettings)) {
      if (!('flag' in serveSettings[name as keyof typeof serveSettings])) continue;
      expect(help).toContain(flag);
      expect(help).toContain(`[FOLDGATE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}]`);
    }
  });
});
