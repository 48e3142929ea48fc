import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { sha256 } from '../../../artifact/store/digest.ts';
import { partSize, sendParts } from '../../../artifact/store/parts.ts';
import { noise } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const bytes = noise(10_500, 1);
const digest = { sha256: sha256(bytes), bytes: bytes.length };

async function source(content: Uint8Array = bytes): Promise<string> {
  const path = join(await temporaryFolder(), 'source');
  await writeFile(path, content);
  return path;
}

describe('sendParts', () => {
  it('sends every byte once, in numbered parts, several at a time', async () => {
    const sent = new Map<number, Buffer>();
    let running = 0;
    const threeAtOnce = Promise.withResolvers<void>();
    const send = async (number: number, part: Buffer) => {
      expect(++running).toBeLessThanOrEqual(3);
      if (running === 3) threeAtOnce.resolve();
      await threeAtOnce.promise; // The first parts stay until there are three: one by one never ends.
      sent.set(number, Buffer.from(part));
      running--;
      return number;
    };
    const numbers = await sendParts(await source(), digest, send, { partBytes: 1000, parallel: 3 });
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(Buffer.concat(numbers.map((number) => sent.get(number)!)).equals(bytes)).toBe(true);
  });

  it('sends an empty file as one empty part', async () => {
    const empty = { sha256: sha256(new Uint8Array()), bytes: 0 };
    const parts = await sendParts(await source(new Uint8Array()), empty, async (_, part) => part.length, {
      partBytes: 1000,
      parallel: 3,
    });
    expect(parts).toEqual([0]);
  });

  it.each([
    ['another content', noise(10_500, 2)],
    ['a missing byte', bytes.subarray(0, -1)],
    ['one more byte', Buffer.concat([bytes, Buffer.of(0)])],
    ['nothing', new Uint8Array()],
  ])('refuses a file with %s', async (_, content) => {
    const sending = sendParts(await source(content), digest, async () => {}, {
      partBytes: 1000,
      parallel: 3,
    });
    await expect(sending).rejects.toThrow(InvalidDataError);
  });

  it('stops at the first part that fails', async () => {
    const sent: number[] = [];
    const send = async (number: number) => {
      sent.push(number);
      if (number === 2) throw new Error('part 2');
      await setImmediate();
    };
    const sending = sendParts(await source(), digest, send, { partBytes: 1000, parallel: 2 });
    await expect(sending).rejects.toThrow('part 2');
    expect(sent.length).toBeLessThan(5);
  });

  it('grows the parts of files that would need more than 10,000', () => {
    const size = partSize(5 * 1024 ** 4, 8 * 1024 ** 2);
    expect(Math.ceil((5 * 1024 ** 4) / size)).toBeLessThanOrEqual(10_000);
    expect(partSize(10_000 * 8 * 1024 ** 2, 8 * 1024 ** 2)).toBe(8 * 1024 ** 2);
  });
});
