import { glob, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Gateway } from '../../../functions/gateway/gateway.ts';
import { InFlight } from '../../../functions/gateway/in-flight.ts';
import { messagesSchema, refusedInMessages } from '../../../functions/gateway/messages/schema.ts';
import { refusedInResponses, responsesSchema } from '../../../functions/gateway/responses/schema.ts';
import { routesOf } from '../../../functions/gateway/routes.ts';
import { chatSchema } from '../../../functions/gateway/schemas/chat.ts';
import { completionSchema } from '../../../functions/gateway/schemas/completion.ts';
import { refusedInChat, refusedInCompletions } from '../../../functions/gateway/schemas/refused.ts';
import { promptProblems } from '../../../functions/model/prompt-error.ts';

const page = await readFile(new URL('../../../docs/api.md', import.meta.url), 'utf8');
const parameters = section(page, 'Parameters');
const [table, refused] = parameters.split('These change the answer') as [string, string];

/** The parameters that the table's rows name, and of which endpoints. */
const documented = [...table.matchAll(/^\| ((?:`\w+`(?:, )?)+) \| (\w+) \|/gm)].flatMap(([, names, where]) =>
  names!.match(/\w+/g)!.map((name) => ({ name, where: where! })),
);
const documentedOf = (endpoint: string) =>
  documented.filter(({ where }) => where === endpoint || where === 'both').map(({ name }) => name);

describe('docs/api.md', () => {
  it('names every route', () => {
    const routes = routesOf({ inFlight: new InFlight() } as Gateway);
    const missing = routes
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
      .filter((route) => !page.includes(`\`${route}\``));
    expect(missing).toEqual([]);
  });

  it.each([
    ['completions', completionSchema],
    ['chat', chatSchema],
  ])('lists every parameter of %s, and no other', (endpoint, { shape }) => {
    expect(documentedOf(endpoint).toSorted()).toEqual(Object.keys(shape).sort());
  });

  it('lists every refused parameter, and no other', () => {
    const known = new Set([...Object.keys(refusedInCompletions), ...Object.keys(refusedInChat)]);
    const listed = [...refused.matchAll(/^(?:`\w+`,? ?)+$/gm)].flatMap(([line]) => line.match(/\w+/g)!);
    expect(listed.toSorted()).toEqual([...known].sort());
  });

  it.each([
    ['Responses', refusedInResponses, responsesSchema],
    ["Anthropic's messages", refusedInMessages, messagesSchema],
  ])('names what %s have of their own, and what they refuse', (title, refusals, { shape }) => {
    const text = section(page, title);
    const own = Object.keys(shape).filter((name) => !Object.hasOwn(chatSchema.shape, name));
    const missing = [...own, ...Object.keys(refusals)].filter((name) => !text.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });

  it('lists every error code the sources use, and no other', async () => {
    const folder = new URL('../../../functions/gateway/', import.meta.url);
    const codes = new Set<string>(promptProblems);
    for await (const file of glob('**/*.ts', { cwd: fileURLToPath(folder) })) {
      const text = await readFile(new URL(file, folder), 'utf8');
      for (const match of text.matchAll(/code: '(\w+)'|: '(invalid_value)'/g))
        codes.add(match[1] ?? match[2]!);
    }
    const rows = section(page, 'Errors')
      .split('\n')
      .filter((line) => /^\| \d/.test(line));
    const listed = rows.flatMap((row) =>
      [...row.split('|')[2]!.matchAll(/`(\w+)`/g)].map((match) => match[1]!),
    );
    expect(listed.toSorted()).toEqual([...codes].sort());
  });
});

function section(page: string, title: string): string {
  return page.split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!;
}
