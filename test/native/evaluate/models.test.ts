import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { openLocalModel } from '../../../artifact/models/open-local.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { agreementWith } from '../../../compressor/evaluate/agreement.ts';
import type { EvaluatedModel, Sequence } from '../../../compressor/evaluate/evaluated-model.ts';
import { floatModel } from '../../../compressor/evaluate/float-model.ts';
import { foldedModel } from '../../../compressor/evaluate/folded-model.ts';
import { unfolded } from '../../../compressor/student/planned-student.ts';
import { evaluatedCheckpoint } from '../../fixtures/evaluation.ts';
import { foldInto } from '../../fixtures/fold-into.ts';
import { numberTokenizer } from '../../fixtures/number-tokenizer.ts';
import { maxDifference, picoPath } from '../../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint, seeded } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const tales = join(import.meta.dirname, '../../../checkpoints/tales-5m');

async function folded(path: string, options: Parameters<typeof foldInto>[2] = {}): Promise<EvaluatedModel> {
  const folder = await temporaryFolder();
  const checkpoint = await openCheckpoint(path);
  await foldInto(folder, checkpoint, options);
  await checkpoint.close();
  return foldedModel(await openLocalModel(`file:${join(folder, 'store')}/pico`));
}

const random = seeded(3);
const tokensOf = (length: number) => Int32Array.from({ length }, () => 4 + Math.floor(random() * 280));

/** Sequences that share their start, are equal, or have nothing in common. */
function sequences(): Sequence[] {
  const [context, other] = [tokensOf(20), tokensOf(9)];
  const choice = (context: Int32Array, targets: Int32Array) => ({
    tokens: Int32Array.from([...context, ...targets.subarray(0, -1)]),
    targets,
  });
  return [
    choice(context, Int32Array.of(7)),
    choice(context, Int32Array.of(8)), // the same input, another target
    choice(context, tokensOf(5)),
    choice(other, tokensOf(3)),
    choice(context, Int32Array.of(7)),
    choice(context.subarray(0, 10), tokensOf(12)),
    choice(other, tokensOf(1)),
  ];
}

describe.each(['llama', 'gemma3'] as const)('predictions of %s', (form) => {
  it('are those of each sequence by itself, however many share their start or go together', async () => {
    const checkpoint = await openCheckpoint(picoPath(form));
    const all = sequences();
    const models = [
      await evaluatedCheckpoint(checkpoint),
      await evaluatedCheckpoint(checkpoint, 1), // a pass for each
      await folded(picoPath(form)),
    ];
    const apart = [];
    for (const sequence of all) apart.push(...(await models[0]!.predict([sequence])));
    for (const model of models) {
      const together = await model.predict(all);
      expect(together).toHaveLength(all.length);
      for (const [i, { losses, likeliest }] of together.entries()) {
        expect(maxDifference(losses, apart[i]!.losses)).toBeLessThan(1e-3);
        expect([...likeliest]).toEqual([...apart[i]!.likeliest]);
        expect(losses).toHaveLength(all[i]!.targets.length);
      }
    }
    await checkpoint.close();
  });
});

it('predictions take the first of equally likely tokens, also across tiles of the vocabulary', async () => {
  const vocabularySize = 9000; // a tile ends at 8192
  const whole = randomCheckpoint({ ...picoArchitecture, vocabularySize });
  const original = 100;
  const copies = [8500, 8600];
  // Their rows of the tied embedding are the original's, large enough to win: the three have one logit.
  const checkpoint: Checkpoint = {
    ...whole,
    tensor(role) {
      const tensor = whole.tensor(role);
      if (role !== 'embedding') return tensor;
      return {
        ...tensor,
        async read(start = 0, count = vocabularySize) {
          const rows = (await tensor.read(start, count)).slice();
          const row = (await tensor.read(original, 1)).map((x) => 4 * x);
          for (const token of [original, ...copies]) {
            if (token >= start && token < start + count) rows.set(row, (token - start) * row.length);
          }
          return rows;
        },
      };
    },
  };
  const model = floatModel(unfolded(checkpoint), {
    name: 'copies',
    tokenizer: numberTokenizer(),
    tokens: { bos: undefined, eos: [] },
    close: async () => {},
  });
  const tokens = Int32Array.from({ length: 60 }, (_, i) => i);
  const { losses, likeliest } = (
    await model.predict([{ tokens, targets: new Int32Array(60).fill(8600) }])
  )[0]!;
  const first = (await model.predict([{ tokens, targets: new Int32Array(60).fill(100) }]))[0]!;
  expect(maxDifference(losses, first.losses)).toBeLessThan(1e-4);
  expect(likeliest).toContain(100);
  expect(likeliest).not.toContain(8500);
  expect(likeliest).not.toContain(8600);
});

describe('agreement with a teacher', () => {
  const count = 24;
  const prompts = ['Once upon a time', 'The dog was', 'Sara and Ben went'];

  it('tells how long both write the same, without letting the teacher write', async () => {
    const checkpoint = await openCheckpoint(tales);
    const teacher = await evaluatedCheckpoint(checkpoint);
    const [same, shared] = [await folded(tales), await folded(tales, { share: 3, quantize: 'int4' })];
    const encoded = prompts.map((prompt) => Int32Array.from(shared.tokenizer.encode(prompt)));
    const written = await shared.continueGreedily(encoded, count);
    const texts = encoded.map((prompt, i) => ({ prompt, tokens: written[i]! }));
    const agreement = await agreementWith(teacher, shared, texts);

    // The same by letting the unfolded model write, and by asking it for each next token.
    const own = await same.continueGreedily(encoded, count);
    const prefixes = own.map((tokens, i) => {
      const difference = written[i]!.findIndex((token, t) => token !== tokens[t]);
      return difference < 0 ? written[i]!.length : difference;
    });
    expect(agreement.prefixes).toEqual(prefixes);
    expect(Math.min(...prefixes)).toBeLessThan(count); // or this would tell nothing
    const total = written.reduce((sum, { length }) => sum + length, 0);
    expect(agreement.meanPrefix).toBeCloseTo(prefixes.reduce((a, b) => a + b) / 3, 12);
    expect(agreement.prefixShare).toBeCloseTo(prefixes.reduce((a, b) => a + b) / total, 12);
    let equal = 0;
    for (const { prompt, tokens } of texts) {
      const starts = [...tokens].map((_, t) => Int32Array.from([...prompt, ...tokens.subarray(0, t)]));
      const next = await same.continueGreedily(starts, 1);
      equal += next.filter(([token], t) => token === tokens[t]).length;
    }
    expect(agreement.nextToken).toBeCloseTo(equal / total, 12);
    await checkpoint.close();
  });

  it('is whole with oneself', async () => {
    const model = await folded(tales, { share: 2, quantize: 'int8' });
    const prompt = Int32Array.from(model.tokenizer.encode(prompts[0]!));
    const [tokens] = await model.continueGreedily([prompt], count);
    expect(await agreementWith(model, model, [{ prompt, tokens: tokens! }])).toEqual({
      prefixShare: 1,
      meanPrefix: count,
      nextToken: 1,
      prefixes: [count],
    });
  });

  it('refuses a teacher with other tokens, or too short a context', async () => {
    const [model, pico] = [await folded(tales), await folded(picoPath('llama'))];
    const written = (prompt: number[], length: number) => [
      { prompt: Int32Array.from(prompt), tokens: new Int32Array(length).fill(300) },
    ];
    await expect(agreementWith(pico, model, written([400], 3))).rejects.toThrow(UsageError);
    await expect(agreementWith(pico, model, written([400], 3))).rejects.toThrow(
      /^pico cannot be the teacher of pico: token 400 is undefined there and "/,
    );
    await expect(agreementWith(model, model, written([400], 600))).rejects.toThrow(
      'pico sees 512 tokens at once, and a text has 600. Ask for fewer --tokens.',
    );
  });
});

it.each(['checkpoint', 'folded'] as const)(
  'a text that ends itself has its ending token last (%s)',
  async (form) => {
    const checkpoint = await openCheckpoint(tales);
    const folder = await temporaryFolder();
    await foldInto(folder, checkpoint);
    const local = await openLocalModel(`file:${join(folder, 'store')}/pico`);
    const endingAt = async (eos: number[]) =>
      form === 'folded'
        ? foldedModel({ ...local, manifest: { ...local.manifest, tokens: { eos } } })
        : evaluatedCheckpoint({ ...withTensors(checkpoint), tokens: { ...checkpoint.tokens, eos } });
    const prompts = ['Once upon a time', 'The dog was'].map((prompt) =>
      Int32Array.from(foldedModel(local).tokenizer.encode(prompt)),
    );
    const [whole, other] = await (await endingAt([])).continueGreedily(prompts, 8);
    expect([whole!.length, other!.length]).toEqual([8, 8]);
    // A token that only the first text has, in its middle.
    const end = [...whole!].findIndex(
      (token, i) => i >= 2 && !other!.includes(token) && whole!.indexOf(token) === i,
    );
    expect(end).toBeGreaterThan(1);
    const texts = await (await endingAt([4000, whole![end]!])).continueGreedily(prompts, 8);
    expect(texts.map((text) => [...text])).toEqual([[...whole!.slice(0, end + 1)], [...other!]]);
    await checkpoint.close();
  },
);

/** A checkpoint's methods are its class's, which a spread leaves out. */
function withTensors(checkpoint: Checkpoint): Checkpoint {
  return {
    ...checkpoint,
    tensor: (role) => checkpoint.tensor(role),
    tokenizerFiles: () => checkpoint.tokenizerFiles(),
    close: () => checkpoint.close(),
  };
}

it('measuring stops at a signal', async () => {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const prompts = Array.from({ length: 20 }, () => Int32Array.of(5, 6, 7));
  for (const model of [await evaluatedCheckpoint(checkpoint), await folded(picoPath('llama'))]) {
    const soon = () => {
      const controller = new AbortController();
      setImmediate(() => controller.abort());
      return { signal: controller.signal };
    };
    await expect(model.continueGreedily(prompts, 50, soon())).rejects.toThrow(/abort/i);
    await expect(model.predict(sequences(), soon())).rejects.toThrow(/abort/i);
  }
  await checkpoint.close();
});

it('a model that computes no numbers gives no answers', async () => {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const broken: Checkpoint = {
    ...withTensors(checkpoint),
    tensor(role) {
      const tensor = checkpoint.tensor(role);
      if (role !== 'layers.1.mlp.norm') return tensor;
      const read: typeof tensor.read = async (...rows) => (await tensor.read(...rows)).fill(Number.NaN);
      return { role, shape: tensor.shape, storedAs: tensor.storedAs, read };
    },
  };
  const folder = await temporaryFolder();
  await foldInto(folder, broken);
  const models = [
    await evaluatedCheckpoint(broken),
    foldedModel(await openLocalModel(`file:${join(folder, 'store')}/pico`)),
  ];
  for (const model of models) {
    const message = / computes NaN, not a number one can use: it is broken/;
    await expect(model.predict(sequences())).rejects.toThrow(message);
    await expect(model.continueGreedily([Int32Array.of(5, 6)], 3)).rejects.toThrow(message);
  }
  await checkpoint.close();
});
