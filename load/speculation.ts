import { parseArgs } from 'node:util';
import { openStore } from '../artifact/store/open.ts';
import { loadModel } from '../functions/model/load-model.ts';
import type { LoadedModel } from '../functions/model/loaded-model.ts';
import { encodeChat } from '../functions/model/prompt.ts';
import { median } from './peers/table.ts';

/**
 * What guessing tokens from the text itself gains: the same greedy answers with and without, in turns.
 *
 * Usage: npm run bench:speculation -- --store URL --model NAME [--rounds 5] [--tokens 160] [--threads 2]
 */
const { values: flags } = parseArgs({
  options: {
    store: { type: 'string' },
    model: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '160' },
    threads: { type: 'string', default: '2' },
  },
});
if (!flags.store || !flags.model) {
  process.stderr.write(
    'Usage: npm run bench:speculation -- --store URL --model NAME [--rounds 5] [--tokens 160]\n',
  );
  process.exit(2);
}

const code = `function totalPrice(items, taxRate) {
  let sum = 0;
  for (const item of items) {
    if (item.quantity <= 0) continue;
    const price = item.unitPrice * item.quantity;
    sum += price;
  }
  const tax = sum * taxRate;
  return { sum, tax, total: sum + tax };
}`;
const report = `The harbour office met on Tuesday. The pier will be closed from the first of March until the end of May, because
the planks have to be replaced. Fishing boats may use the northern quay in the meantime. The ferry to the island
leaves from the southern landing, every two hours, and takes no cars. The office asks skippers to register their
boats by the twentieth of February, in writing or at the counter.`;
const tasks = {
  'code editing': `Rename the parameter taxRate to rate in this function. Give the whole function.\n\n\`\`\`js\n${code}\n\`\`\``,
  'code explaining': `Explain this function line by line, quoting each line.\n\n\`\`\`js\n${code}\n\`\`\``,
  summary: `Sum up this notice in three sentences, in its own words.\n\n${report}`,
  chat: 'I have a free afternoon and the weather is fine. What could I do near a small town by the sea?',
};

const store = await openStore(flags.store);
const load = (speculation: boolean) =>
  loadModel(store, flags.model!, {
    slots: 1,
    prefixCacheBytes: 0,
    threads: Number(flags.threads),
    speculation,
  });
const ways = { plain: await load(false), guessing: await load(true) };

/** Tokens a second of decoding, and what was made. */
async function answer(model: LoadedModel, question: string): Promise<{ speed: number; tokens: number[] }> {
  const prompt = await encodeChat(model, [{ role: 'user', content: question }]);
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };
  const request = { prompt, maxTokens: Number(flags.tokens), sampling, stopTokens: [...model.eos] };
  const tokens: number[] = [];
  let decode = 0;
  for await (const chunk of model.engine.generate({ ...request, delivery: 'end' })) {
    tokens.push(...chunk.tokens);
    decode = chunk.timings?.decode ?? decode;
  }
  return { speed: (1000 * (tokens.length - 1)) / decode, tokens };
}

process.stdout.write(
  `| task | tokens | plain, tokens/s | guessing, tokens/s | gain | same text |\n|---|---|---|---|---|---|\n`,
);
for (const [task, question] of Object.entries(tasks)) {
  const speeds: { plain: number[]; guessing: number[] } = { plain: [], guessing: [] };
  let texts: Record<string, number[]> = {};
  for (let round = -1; round < Number(flags.rounds); round++) {
    for (const way of ['plain', 'guessing'] as const) {
      const { speed, tokens } = await answer(ways[way], question);
      texts = { ...texts, [way]: tokens };
      if (round >= 0) speeds[way].push(speed);
    }
  }
  const gain = median(speeds.guessing.map((speed, round) => speed / speeds.plain[round]!));
  const same = texts.plain!.join() === texts.guessing!.join() ? 'yes' : 'no';
  const row = [
    task,
    texts.plain!.length,
    median(speeds.plain).toFixed(0),
    median(speeds.guessing).toFixed(0),
    `${gain.toFixed(2)}x`,
    same,
  ];
  process.stdout.write(`| ${row.join(' | ')} |\n`);
}
await Promise.all(Object.values(ways).map((model) => model.engine[Symbol.asyncDispose]()));
