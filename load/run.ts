import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { FoldgateError, UsageError } from '../artifact/errors.ts';
import { watchingMemory } from './client/memory-watch.ts';
import { openLoop, type Target } from './client/open-loop.ts';
import { summarise, violations } from './client/summary.ts';
import { asCompletions, findTarget } from './client/target.ts';
import { markdownReport, type ScenarioResult } from './report.ts';
import { runK6 } from './run-k6.ts';
import { readScenario, scenarioNames } from './scenario/read.ts';
import { type Scenario, scaled } from './scenario/scenario.ts';

const help = `Usage: npm run load -- --url URL [options]

Runs load scenarios against a started gateway, by k6 and by an open-loop client over the openai package, and
writes a Markdown summary, k6's HTML reports and all numbers as JSON. Exits with 1 where a limit was crossed.

  --url URL            the gateway, without /v1
  --scenario NAME      ${scenarioNames.join(', ')}, or
                       the path of a .json file; may be repeated (default: all, some ten minutes)
  --model NAME         (default: the first of /v1/models)
  --api-key KEY        (default: $OPENAI_API_KEY)
  --by CLIENT          k6, client, or both (default: both)
  --duration FACTOR    multiplies the scenarios' length (default: 1)
  --rate FACTOR        multiplies their requests a second (default: 1)
  --from N             number of the first request: the same number, the same prompts (default: never the same,
                       as a server may have kept what it computed of prompts that it has seen)
  --out FOLDER         (default: .cache/load/results)
`;

/** @returns the exit code: 0 all passed, 1 a limit was crossed or a run failed, 2 wrong usage */
async function load(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      url: { type: 'string' },
      scenario: { type: 'string', multiple: true },
      model: { type: 'string' },
      'api-key': { type: 'string', default: process.env.OPENAI_API_KEY },
      by: { type: 'string', default: 'both' },
      duration: { type: 'string', default: '1' },
      rate: { type: 'string', default: '1' },
      from: { type: 'string' },
      out: { type: 'string', default: '.cache/load/results' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help || values.url === undefined) {
    process.stdout.write(help);
    return values.help ? 0 : 2;
  }
  if (!['k6', 'client', 'both'].includes(values.by))
    throw new UsageError(`--by is ${values.by}; expected k6, client or both.`);
  const scale = { duration: factor('duration', values.duration), rate: factor('rate', values.rate) };
  const chosen = await Promise.all((values.scenario ?? scenarioNames).map(readScenario));

  const url = values.url.replace(/\/(v1\/?)?$/, '');
  const { target, chats } = await findTarget({ url, model: values.model, apiKey: values['api-key'] });
  await mkdir(values.out, { recursive: true });
  const from = values.from === undefined ? Math.floor(Date.now() / 1000) : Number(values.from);
  process.stderr.write(`Requests are counted from ${from}.\n`);
  const results: ScenarioResult[] = [];
  for (const { name, scenario: original } of chosen) {
    const scenario = scaled(
      original.endpoint === 'chat' && !chats ? asCompletions(original) : original,
      scale,
    );
    if (scenario.endpoint !== original.endpoint)
      process.stderr.write(`${target.model} cannot chat: ${name} goes through /v1/completions.\n`);
    results.push({
      name,
      scenario,
      runs: await runsOf(name, scenario, target, { by: values.by, out: values.out, from }),
    });
    await writeFile(join(values.out, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`);
    await writeFile(join(values.out, 'summary.md'), markdownReport(url, target.model, results));
  }
  process.stdout.write(markdownReport(url, target.model, results));
  process.stderr.write(`Written: ${join(values.out, 'summary.md')}\n`);
  return results.every(({ runs }) => runs.every(({ problems }) => problems.length === 0)) ? 0 : 1;
}

async function runsOf(
  name: string,
  scenario: Scenario,
  target: Target,
  { by, out, from }: { by: string; out: string; from: number },
) {
  const runs: ScenarioResult['runs'] = [];
  if (by !== 'client') {
    process.stderr.write(`${name}, by k6 ...\n`);
    const { summary, passed, html } = await runK6(name, scenario, target, { folder: out, from });
    const problems = violations(summary, scenario.limits);
    if (!passed && problems.length === 0) problems.push('k6 found a threshold crossed');
    runs.push({ by: 'k6', summary, problems, html: basename(html) });
  }
  if (by !== 'k6') {
    process.stderr.write(`${name}, by the client ...\n`);
    const { result, memory } = await watchingMemory(target.url, () =>
      openLoop(scenario, target, from + 1_000_000),
    );
    const summary = { ...summarise(result), memory };
    runs.push({ by: 'client', summary, problems: violations(summary, scenario.limits) });
  }
  return runs;
}

function factor(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`--${flag} is ${text}; expected a number above 0.`);
  return value;
}

process.exitCode = await load(process.argv.slice(2)).catch((error: unknown) => {
  if (!(error instanceof FoldgateError)) throw error;
  process.stderr.write(`load: ${error.message}\n`);
  return error instanceof UsageError ? 2 : 1;
});
