import { parseArgs } from 'node:util';
import { openStore } from '../artifact/store/open.ts';
import type { SpeculationCounts } from '../functions/engine/engine.ts';
import { loadModel } from '../functions/model/load-model.ts';
import type { LoadedModel } from '../functions/model/loaded-model.ts';
import { encodeChat, encodePrompt } from '../functions/model/prompt.ts';
import { median } from './peers/table.ts';

/**
 * What guessing tokens gains, from the text itself and, with --draft, by a second model too: the same answers without
 * and with, in turns. Greedy ones, unless a temperature is given; then by the same seeds.
 *
 * Usage: npm run bench:speculation -- --store URL --model NAME [--draft NAME] [--rounds 5] [--tokens 160] [--threads 2]
 *   [--temperature 0]
 */
const { values: flags } = parseArgs({
  options: {
    store: { type: 'string' },
    model: { type: 'string' },
    draft: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '160' },
    threads: { type: 'string', default: '2' },
    temperature: { type: 'string', default: '0' },
  },
});
if (!flags.store || !flags.model) {
  process.stderr.write(
    'Usage: npm run bench:speculation -- --store URL --model NAME [--draft NAME] [--rounds 5] [--tokens 160]\n',
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
const load = (speculation: boolean, draft?: string) =>
  loadModel(store, flags.model!, {
    slots: 1,
    prefixCacheBytes: 0,
    threads: Number(flags.threads),
    speculation,
    draft,
  });
const ways: Record<string, LoadedModel> = {
  plain: await load(false),
  guessing: await load(true),
  ...(flags.draft !== undefined && { drafting: await load(true, flags.draft) }),
};

interface Answer {
  /** Tokens a second of decoding. */
  speed: number;
  tokens: number[];
  guesses: SpeculationCounts;
}

const guessesOf = async (model: LoadedModel) => (await model.engine.stats!()).speculation;

async function answer(model: LoadedModel, question: string, seed: number): Promise<Answer> {
  // A model that was never taught to chat goes on from the text.
  const prompt = model.chatTemplate
    ? await encodeChat(model, [{ role: 'user', content: question }])
    : await encodePrompt(model, question, { param: 'prompt', addSpecialTokens: true });
  const sampling = { temperature: Number(flags.temperature), topP: 1, topK: 0, minP: 0, seed };
  const request = { prompt, maxTokens: Number(flags.tokens), sampling, stopTokens: [...model.eos] };
  const tokens: number[] = [];
  let decode = 0;
  const before = await guessesOf(model);
  for await (const chunk of model.engine.generate({ ...request, delivery: 'end' })) {
    tokens.push(...chunk.tokens);
    decode = chunk.timings?.decode ?? decode;
  }
  const after = await guessesOf(model);
  const since = (method: keyof SpeculationCounts) => ({
    drafts: after[method].drafts - before[method].drafts,
    tokens: after[method].tokens - before[method].tokens,
    accepted: after[method].accepted - before[method].accepted,
  });
  const guesses = { ngram: since('ngram'), draft_model: since('draft_model') };
  return { speed: (1000 * (tokens.length - 1)) / decode, tokens, guesses };
}

process.stdout.write(
  '| task | tokens | way | tokens/s | gain | came true, of the text | of the draft | same text |\n|---|---|---|---|---|---|---|---|\n',
);
for (const [task, question] of Object.entries(tasks)) {
  const rounds: Record<string, Answer[]> = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
  for (let round = -1; round < Number(flags.rounds); round++) {
    for (const [way, model] of Object.entries(ways)) {
      const given = await answer(model, question, round + 1);
      if (round >= 0) rounds[way]!.push(given);
    }
  }
  const plain = rounds.plain!;
  for (const [way, answers] of Object.entries(rounds)) {
    const mean = (of: (one: Answer) => number) =>
      answers.reduce((sum, one) => sum + of(one), 0) / answers.length;
    const cameTrue = (method: keyof SpeculationCounts) => {
      const [accepted, tokens] = (['accepted', 'tokens'] as const).map((count) =>
        mean(({ guesses }) => guesses[method][count]).toFixed(0),
      );
      return tokens === '0' ? '-' : `${accepted} of ${tokens}`;
    };
    const row = [
      task,
      mean(({ tokens }) => tokens.length).toFixed(0),
      way,
      median(answers.map(({ speed }) => speed)).toFixed(0),
      `${median(answers.map(({ speed }, round) => speed / plain[round]!.speed)).toFixed(2)}x`,
      cameTrue('ngram'),
      cameTrue('draft_model'),
      answers.every(({ tokens }, round) => tokens.join() === plain[round]!.tokens.join()) ? 'yes' : 'no',
    ];
    process.stdout.write(`| ${row.join(' | ')} |\n`);
  }
}
await Promise.all(Object.values(ways).map((model) => model.engine[Symbol.asyncDispose]()));
