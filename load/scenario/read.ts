import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InvalidDataError, UsageError } from '../../artifact/errors.ts';
import type { Scenario } from './scenario.ts';

/** The order in which the whole set runs: what breaks first comes first, what takes longest last. */
export const scenarioNames = [
  'smoke',
  'completions',
  'chat',
  'mixed-lengths',
  'shared-prefix',
  'spike',
  'soak',
] as const;

const folder = join(import.meta.dirname, '..', 'scenarios');

const quantiles = z.strictObject({ p50: z.number().positive(), p95: z.number().positive() }).partial();
const count = z.int().min(0);
const range = z.tuple([z.int().min(1), z.int().min(1)]);

const schema: z.ZodType<Scenario> = z.strictObject({
  description: z.string().min(1),
  seed: count,
  endpoint: z.enum(['completions', 'chat']),
  stream: z.boolean(),
  arrivals: z.strictObject({
    process: z.enum(['constant', 'poisson']),
    stages: z
      .array(z.strictObject({ seconds: z.number().positive(), perSecond: z.number().positive() }))
      .min(1),
  }),
  prompts: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        share: z.number().positive(),
        words: range.refine(([fewest, most]) => fewest <= most, 'expected [fewest, most]'),
        sharedWords: count,
        maxTokens: z.int().min(1),
      }),
    )
    .min(1),
  limits: z.strictObject({
    errorRate: z.number().min(0).max(1),
    ttftMs: quantiles.optional(),
    interTokenMs: quantiles.optional(),
    latencyMs: quantiles.optional(),
    memoryGrowth: z.number().positive().optional(),
  }) as z.ZodType<Scenario['limits']>,
});

/** @throws InvalidDataError naming every field that is wrong */
export function parseScenario(text: string, where: string): Scenario {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new InvalidDataError(`${where} is no JSON.`, { cause });
  }
  const result = schema.safeParse(json);
  if (!result.success)
    throw new InvalidDataError(`${where} is no scenario:\n${z.prettifyError(result.error)}`);
  return result.data;
}

/**
 * One of the project's own scenarios by its name, or one's own by the path of its file.
 * @throws UsageError for an unknown name; InvalidDataError
 */
export async function readScenario(nameOrPath: string): Promise<{ name: string; scenario: Scenario }> {
  const isPath = nameOrPath.endsWith('.json');
  const path = isPath ? nameOrPath : join(folder, `${nameOrPath}.json`);
  const text = await readFile(path, 'utf8').catch((cause) => {
    const names = `${scenarioNames.join(', ')}, or the path of a .json file`;
    throw new UsageError(`There is no scenario ${nameOrPath}. Expected one of ${names}.`, { cause });
  });
  const name = isPath
    ? path
        .split('/')
        .at(-1)!
        .replace(/\.json$/, '')
    : nameOrPath;
  return { name, scenario: parseScenario(text, path) };
}

/** Names of the files that are there, for the test that all of them are in the list. */
export async function scenarioFiles(): Promise<string[]> {
  return (await readdir(folder)).map((file) => file.replace(/\.json$/, '')).sort();
}
