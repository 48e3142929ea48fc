import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { expect, it, onTestFinished } from 'vitest';
import { GrammarError } from '../../../functions/engine/engine.ts';
import { grammarOfSchema } from '../../../functions/grammar/json-schema.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';
import { randomSchema } from '../../fixtures/random-schema.ts';

const schemas = Number(process.env.FOLDGATE_TEST_SCHEMAS ?? 120);
const firstSeed = Number(process.env.FOLDGATE_TEST_SEED ?? 1);

it('whatever is written meets the schema', async () => {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  const writer = new GrammarWriter(seeded(firstSeed));
  onTestFinished(() => writer[Symbol.dispose]());
  let written = 0;
  for (let seed = firstSeed; seed < firstSeed + schemas; seed++) {
    const schema = randomSchema(seeded(seed));
    let grammar: string;
    try {
      grammar = grammarOfSchema(schema, { strict: true });
    } catch (error) {
      if (error instanceof GrammarError) continue; // such as bounds without a number between
      throw error;
    }
    const validate = ajv.compile(schema);
    for (let i = 0; i < 3; i++) {
      const text = await writer.write(grammar);
      if (text === undefined) continue;
      written++;
      const about = `seed ${seed}: ${text}\n${JSON.stringify(schema)}\n${grammar}`;
      const value = JSON.parse(text);
      expect(validate(value) || validate.errors, about).toBe(true);
      expect(text, about).not.toMatch(/[\n\r]/);
    }
  }
  expect(written).toBeGreaterThan(schemas); // of three times as many
});
