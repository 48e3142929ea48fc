import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { type Cured, cure } from '../../../compressor/train/cure.ts';
import type { CureOptions } from '../../../compressor/train/cure-options.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { picoCure, picoData, picoStudent } from '../../fixtures/pico-cure.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

async function curePico(
  changed: Partial<CureOptions> & Pick<CureOptions, 'data' | 'folder'>,
): Promise<Cured> {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  onTestFinished(() => checkpoint.close());
  return cure(checkpoint, picoStudent(checkpoint), { ...picoCure, ...changed });
}

/** Weights, moments, steps, position and measurements, bit for bit. */
const stateOf = (folder: string) => readFile(join(folder, 'state.safetensors'));

async function metricsOf(folder: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  return lines.map((line) => {
    const { tokensPerSecond, secondsLeft, ...rest } = JSON.parse(line);
    return rest;
  });
}

describe('the cure', () => {
  it('brings the student nearer to the checkpoint, on text it never saw', async () => {
    const folder = await temporaryFolder();
    const steps: number[] = [];
    const losses: number[] = [];
    const cured = await curePico({
      data: [await picoData()],
      folder,
      tokens: 100 * 64,
      onStep: ({ step, loss }) => {
        steps.push(step);
        losses.push(loss);
      },
    });
    expect(steps).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(cured.steps).toBe(100);
    expect(cured.after.divergence).toBeLessThan(0.5 * cured.before.divergence);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(losses.slice(-10))).toBeLessThan(0.8 * mean(losses.slice(0, 10)));
    const lines = await metricsOf(folder);
    expect(lines.filter(({ heldOut }) => !heldOut).map(({ loss }) => loss)).toEqual(losses);
    expect(lines.filter(({ heldOut }) => heldOut).at(-1)).toEqual({ heldOut: true, ...cured.after });
  });

  it('gives the same weights, bit for bit, when repeated, and others from another seed', async () => {
    const data = [await picoData()];
    const [one, same, other] = [await temporaryFolder(), await temporaryFolder(), await temporaryFolder()];
    const first = await curePico({ data, folder: one });
    const second = await curePico({ data, folder: same });
    expect((await stateOf(one)).equals(await stateOf(same))).toBe(true);
    expect(await second.student.block(0)).toEqual(await first.student.block(0));
    const third = await curePico({ data, folder: other, seed: 2 });
    expect(await third.student.block(0)).not.toEqual(await first.student.block(0));
  });

  it('ends as if nothing had happened when it is killed at any moment and run again', async () => {
    const data = await picoData();
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    const cured = await curePico({ data: [data], folder: whole });
    // The state is written after every step: kills hit steps, writes and measurements alike.
    for (const steps of [1, 4, 3]) await killAfter(steps, broken, data);
    const reached = await finish(broken, data);
    expect(reached[0]).toBeGreaterThan(1);
    expect(reached.at(-1)).toBe(24);
    expect((await stateOf(broken)).equals(await stateOf(whole))).toBe(true);
    expect(await metricsOf(broken)).toEqual(await metricsOf(whole));
    expect((await readdir(broken)).sort()).toEqual(['metrics.jsonl', 'state.safetensors']);
    // Once more: there is nothing left to do.
    const again = await curePico({ data: [data], folder: broken, onStep: () => expect.unreachable() });
    expect(again.after).toEqual(cured.after);
    expect(await again.student.own(1)).toEqual(await cured.student.own(1));
  });

  it('saves and goes on when it is interrupted', async () => {
    const data = [await picoData()];
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    await curePico({ data, folder: whole });
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 5 && stop.abort(new Error('stopped'));
    await expect(curePico({ data, folder: broken, signal: stop.signal, onStep })).rejects.toThrow('stopped');
    const steps: number[] = [];
    await curePico({ data, folder: broken, onStep: ({ step }) => steps.push(step) });
    expect(steps[0]).toBe(6);
    expect((await stateOf(broken)).equals(await stateOf(whole))).toBe(true);
  });

  it('ends with the same weights however its states are coded, and goes on from any', async () => {
    const data = [await picoData()];
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    const cured = await curePico({ data, folder: whole });
    const sizes: number[] = [];
    for (const [i, coding] of (['zstd', 'range', 'none'] as const).entries()) {
      const stop = new AbortController();
      const onStep = ({ step }: { step: number }) => step === 5 * (i + 1) && stop.abort(new Error('stopped'));
      const broke = curePico({ data, folder: broken, coding, signal: stop.signal, onStep });
      await expect(broke).rejects.toThrow('stopped');
      sizes.push((await stateOf(broken)).length);
    }
    const [zstd, range, none] = sizes as [number, number, number];
    expect(range).toBeLessThan(zstd);
    expect(zstd).toBeLessThan(0.95 * none);
    const again = await curePico({ data, folder: broken });
    expect((await stateOf(broken)).equals(await stateOf(whole))).toBe(true);
    expect(await again.student.block(0)).toEqual(await cured.student.block(0));
  });

  it('refuses the state of another cure, and says what is other', async () => {
    const data = [await picoData()];
    const folder = await temporaryFolder();
    await curePico({ data, folder, tokens: 64, identity: { plan: 'a' } });
    const again = (changed: Partial<CureOptions>) =>
      curePico({ data, folder, tokens: 64, identity: { plan: 'a' }, ...changed });
    await expect(again({ learningRate: 1e-3 })).rejects.toThrow(/other: learningRate\)/);
    await expect(again({ identity: { plan: 'b' } })).rejects.toThrow(/other: identity\)/);
    await expect(again({ identity: { plan: 'b' } })).rejects.toBeInstanceOf(UsageError);
    await expect(again({})).resolves.toMatchObject({ steps: 1 });
  });
});

const child = (folder: string, data: string) =>
  spawn(
    process.execPath,
    [fileURLToPath(new URL('../../fixtures/cure-process.ts', import.meta.url)), folder, data],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );

/** Runs the cure until it has taken so many steps, and kills it at once. */
async function killAfter(steps: number, folder: string, data: string): Promise<void> {
  const running = child(folder, data);
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    running.on('exit', (_, signal) => resolve(signal)),
  );
  let seen = 0;
  for await (const _ of createInterface({ input: running.stdout })) {
    if (++seen === steps) running.kill('SIGKILL');
  }
  expect(await ended).toBe('SIGKILL');
}

async function finish(folder: string, data: string): Promise<number[]> {
  const running = child(folder, data);
  const ended = new Promise<number | null>((resolve) => running.on('exit', resolve));
  const steps: number[] = [];
  for await (const line of createInterface({ input: running.stdout })) steps.push(Number(line));
  expect(await ended).toBe(0);
  return steps;
}
