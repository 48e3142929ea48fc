import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { withResource } from '../../artifact/dispose.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { realModel } from '../fixtures/models.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

interface Golden {
  prompt: number[];
  tokens: number[];
}

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };

describe('folding nothing', () => {
  // Leads of the chosen tokens over the next best are 0.01 and more; two float32 engines differ by 0.001.
  it.for(['smollm2', 'qwen'] as const)('leaves %s its greedy text, by transformers', async (name, ctx) => {
    const path = realModel(ctx, name);
    const goldens: Golden[] = JSON.parse(
      await readFile(new URL(`greedy/${name}.json`, import.meta.url), 'utf8'),
    );
    const checkpoint = await openCheckpoint(path);
    const folded = await foldInto(await temporaryFolder(), checkpoint, { name });
    await checkpoint.close();
    const texts = await withResource(await createEngine({ ...folded, contextLength: 64 }), (engine) =>
      Promise.all(
        goldens.map(async ({ prompt, tokens }) => {
          const request = { prompt, maxTokens: tokens.length, sampling: greedy, stopTokens: [] };
          const made: number[] = [];
          for await (const chunk of engine.generate({ ...request, delivery: 'end' }))
            made.push(...chunk.tokens);
          return made;
        }),
      ),
    );
    expect(texts).toEqual(goldens.map(({ tokens }) => tokens));
  });
});
