import { describe, expect, it } from 'vitest';
import { withResource } from '../../artifact/dispose.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import { type FoldedPico, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { realModel } from '../fixtures/models.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import greedyGoldens from './greedy/smollm2.json' with { type: 'json' };

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };
const made = 40;

/** @param prefixCacheBytes 0 unless prompts may reuse each other's */
async function texts(
  folded: FoldedPico,
  prompts: number[][],
  slots: number,
  prefixCacheBytes = 0,
): Promise<number[][]> {
  const options = { slots, prefixCacheBytes, contextLength: 256, speculation: false };
  const engine = await createEngine({ ...folded, ...options });
  return withResource(engine, () =>
    Promise.all(
      prompts.map(async (prompt) => {
        const tokens: number[] = [];
        const request = { prompt, maxTokens: made, sampling: greedy, stopTokens: [] };
        for await (const chunk of engine.generate({ ...request, delivery: 'end' }))
          tokens.push(...chunk.tokens);
        return tokens;
      }),
    ),
  );
}

/**
 * Kernels for one row and for several add in another order. In float32 that decides nothing here. With int8
 * activations a difference of 1e-7 may round to the next of 255 steps, and goes on from there: measured, logits
 * of a 135M model move by up to 1; a text may take another turn where the two likeliest tokens are that close.
 */
const closeLogits = 1;

describe('texts of sequences that ran together', () => {
  it.for(['none', 'int8', 'int4'])('are those that each has alone (%s)', async (quantize, ctx) => {
    const checkpoint = await openCheckpoint(realModel(ctx, 'smollm2'));
    const folded = await foldInto(await temporaryFolder(), checkpoint, { name: 'smol', quantize });
    await checkpoint.close();
    const prompts = greedyGoldens.flatMap(({ prompt, tokens }) => [
      prompt,
      [...prompt, ...tokens.slice(0, 9)],
    ]);
    const alone = await texts(folded, prompts, 1);
    const together = await texts(folded, prompts, prompts.length);
    const turns: number[] = [];
    for (const [i, prompt] of prompts.entries()) {
      const at = alone[i]!.findIndex((token, place) => token !== together[i]![place]);
      if (at < 0) continue;
      const before = [...prompt, ...alone[i]!.slice(0, at)];
      await withDecoder(folded, 256, async (decoder) => {
        const logits = decoder.run(decoder.newCache(), before);
        turns.push(Math.abs(logits[alone[i]![at]!]! - logits[together[i]![at]!]!));
      });
    }
    if (quantize === 'none') expect(turns).toEqual([]);
    else for (const lead of turns) expect(lead).toBeLessThan(closeLogits);
  });
});

it('an answer is the same, whether or not its prompt was read before (int4)', async (ctx) => {
  const checkpoint = await openCheckpoint(realModel(ctx, 'smollm2'));
  const quantize = 'int4';
  const folded = await foldInto(await temporaryFolder(), checkpoint, { name: 'smol', quantize });
  await checkpoint.close();
  // Each twice, and beginnings of each: odd and even, shorter and longer than what came before.
  // What comes after a prompt is not what the model would say: tokens it made itself are reused as they are.
  const longest = greedyGoldens.map(({ prompt }, i) => {
    const { prompt: other } = greedyGoldens[(i + 1) % greedyGoldens.length]!;
    return [...prompt, ...prompt.slice(1), ...other.slice(1, 6)];
  });
  const prompts = longest.flatMap((prompt) => [prompt.slice(0, -3), prompt, prompt, prompt.slice(0, -2)]);
  expect(await texts(folded, prompts, 1, 1e9)).toEqual(await texts(folded, prompts, 1));
});
