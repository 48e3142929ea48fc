import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FoldgateError } from '../artifact/errors.ts';
import type { Target } from './client/open-loop.ts';
import type { Summary } from './client/summary.ts';
import type { Scenario } from './scenario/scenario.ts';

const root = join(import.meta.dirname, '..');
const ownProgram = join(root, '.cache/bin/k6');

/** k6's exit code where it ran and a threshold was crossed. */
const thresholdsCrossed = 99;

/** `$K6`, or what `load/k6.sh` installed; undefined where there is none. */
export function k6Program(): string | undefined {
  const program = process.env.K6 || ownProgram;
  return existsSync(program) ? program : undefined;
}

export interface K6Run {
  summary: Summary;
  /** k6 found all its thresholds kept. */
  passed: boolean;
  /** The report of its dashboard. */
  html: string;
}

/**
 * Runs a scenario with k6; writes NAME.scenario.json, NAME.k6.json and NAME.html into `folder`.
 * @throws FoldgateError where k6 is missing or did not run
 */
export async function runK6(
  name: string,
  scenario: Scenario,
  target: Target,
  { folder, from = 0 }: { folder: string; from?: number },
): Promise<K6Run> {
  const program = k6Program();
  if (program === undefined) throw new FoldgateError(`There is no k6 at ${ownProgram}. Run load/k6.sh.`);
  await mkdir(folder, { recursive: true });
  const file = (ending: string) => resolve(folder, `${name}.${ending}`);
  await writeFile(file('scenario.json'), `${JSON.stringify(scenario, undefined, 2)}\n`);
  const env = {
    URL: target.url,
    MODEL: target.model,
    API_KEY: target.apiKey ?? 'any',
    FROM: String(from),
    SCENARIO: file('scenario.json'),
    SUMMARY: file('k6.json'),
  };
  const flags = Object.keys(env).flatMap((key) => ['--env', `${key}=${env[key as keyof typeof env]}`]);
  const child = spawn(
    program,
    ['run', '--quiet', '--no-usage-report', ...flags, join(root, 'load/k6/scenario.ts')],
    {
      // Its tables go nowhere: the summary has the same numbers. Failures are told on stderr.
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        K6_WEB_DASHBOARD: 'true',
        K6_WEB_DASHBOARD_PORT: '-1', // a report, no server
        K6_WEB_DASHBOARD_PERIOD: '1s', // the report has nothing of runs shorter than a few of them
        K6_WEB_DASHBOARD_EXPORT: file('html'),
      },
    },
  );
  const [code] = await once(child, 'exit');
  if (code !== 0 && code !== thresholdsCrossed)
    throw new FoldgateError(`k6 ended with ${code}; what it wrote above says why.`);
  const summary: Summary = JSON.parse(await readFile(file('k6.json'), 'utf8'));
  return { summary, passed: code === 0, html: file('html') };
}
