import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { JsonSchema } from '../../../functions/gateway/openapi/document.ts';
import { typeText } from '../../../functions/gateway/openapi/type-text.ts';

describe('a schema in words', () => {
  it.each([
    [z.string().nullish(), 'string'],
    [z.boolean(), 'boolean'],
    [z.number().min(0).max(2).nullish(), 'number, 0 to 2'],
    [z.number().gt(0).max(100), 'number, over 0 to 100'],
    [z.int(), 'integer'],
    [z.int().min(-1), 'integer, -1 or more'],
    [z.int().max(7), 'integer, up to 7'],
    [z.array(z.int()), 'array of integers'],
    [z.array(z.union([z.string(), z.int()])), 'array'],
    [z.union([z.string(), z.array(z.string())]).nullish(), 'string or array of strings'],
    [z.enum(['a', 'b']), '"a", "b"'],
    [z.literal(true).nullish(), 'true'],
    [z.record(z.string(), z.number()), 'object'],
    [z.unknown(), 'anything'],
  ])('%#', (type, text) => {
    expect(typeText(z.toJSONSchema(type, { io: 'input' }) as JsonSchema)).toBe(text);
  });
});
