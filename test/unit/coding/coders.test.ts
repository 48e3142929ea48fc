import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { coders } from '../../../compressor/coding/coder.ts';
import { normalNumbers } from '../../../compressor/random.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer);

/** Weights as trained ones are: normal, of 2% of their mean size, in float32. */
function weights(count: number): Uint8Array {
  const random = normalNumbers(3);
  return bytesOf(Float32Array.from({ length: count }, () => 0.02 * random()));
}

/** Two codes of 4 bits a byte, each normal around 8: what rounding gives. */
function codes(count: number): Uint8Array {
  const random = normalNumbers(4);
  const code = () => Math.min(15, Math.max(0, Math.round(8 + 2.2 * random())));
  return Uint8Array.from({ length: count }, () => (code() << 4) | code());
}

/** Bits a byte that any coder needs of bytes that are drawn one by one: their entropy. */
function entropy(bytes: Uint8Array): number {
  const shares = new Map<number, number>();
  for (const byte of bytes) shares.set(byte, (shares.get(byte) ?? 0) + 1 / bytes.length);
  return [...shares.values()].reduce((sum, share) => sum - share * Math.log2(share), 0);
}

const noise = (count: number) => {
  const random = seeded(2);
  return Uint8Array.from({ length: count }, () => Math.floor(256 * random()));
};

const inputs: [name: string, width: number, plain: Uint8Array][] = [
  ['nothing', 4, new Uint8Array(0)],
  ['nothing, byte by byte', 1, new Uint8Array(0)],
  ['one byte', 1, Uint8Array.of(200)],
  ['one number', 4, bytesOf(Float32Array.of(-1.5e-39))],
  ['numbers of every kind', 4, bytesOf(Float32Array.of(0, -0, Number.NaN, -1 / 0, 3e38, 1e-45))],
  ['zeros', 4, new Uint8Array(40_000)],
  ['all ones', 1, new Uint8Array(5000).fill(255)],
  ['noise', 4, noise(8000)],
  ['noise, byte by byte', 1, noise(3001)],
  ['numbers of two bytes', 2, noise(3000).map((byte, i) => (i % 2 ? byte & 3 : byte))],
  ['a pattern', 1, Uint8Array.from({ length: 5000 }, (_, i) => i % 7)],
  ['one that changes midway', 1, Uint8Array.from({ length: 9000 }, (_, i) => (i < 4500 ? 7 : 240 + (i % 3)))],
  ['weights', 4, weights(20_000)],
  ['codes', 1, codes(30_000)],
  ['a view into other memory', 4, weights(100).subarray(8, 208)],
];

describe.each(Object.entries(coders))('coding by %s', (name, { encode, decode }) => {
  const back = (coded: Uint8Array, width: number, length: number) => {
    const plain = new Uint8Array(length).fill(99);
    decode(coded, width, plain);
    return plain;
  };

  it.each(inputs)('gives back %s', (_, width, plain) => {
    const before = plain.slice();
    const coded = encode(plain, width);
    expect(Buffer.compare(back(coded, width, plain.length), plain)).toBe(0);
    expect(Buffer.compare(plain, before)).toBe(0);
    // Encoding is a function of the bytes: equal states are equal files.
    expect(Buffer.compare(encode(plain, width), coded)).toBe(0);
  });

  it('never takes many bytes more than there are', () => {
    for (const [, width, plain] of inputs)
      expect(encode(plain, width).length).toBeLessThanOrEqual(1.01 * plain.length + 64);
  });

  it.each(inputs.filter(([, , plain]) => plain.length > 0))(
    'refuses what is cut off of %s',
    (_, ...input) => {
      const [width, plain] = input;
      const coded = encode(plain, width);
      const lengths = new Set([0, 1, 2, 5, coded.length >> 1, coded.length - 1]);
      for (const length of lengths) {
        if (length >= coded.length) continue;
        const cut = coded.subarray(0, length);
        expect(() => back(cut, width, plain.length), `${length} of ${coded.length}`).toThrow(
          InvalidDataError,
        );
      }
    },
  );

  it('refuses more bytes, or fewer, than were coded', () => {
    const plain = weights(2000);
    const coded = encode(plain, 4);
    for (const length of [0, 4, 7996, 8004, 80_000])
      expect(() => back(coded, 4, length), `${length}`).toThrow(InvalidDataError);
    expect(() => back(Buffer.concat([coded, Buffer.alloc(9, 1)]), 4, plain.length)).toThrow(InvalidDataError);
  });

  it('takes any bytes without harm: it refuses them, or fills what it was given', () => {
    const random = seeded(5);
    for (let round = 0; round < 200; round++) {
      const coded = encode(round % 2 ? weights(300) : codes(1200), 4);
      for (let times = 0; times < 3; times++) {
        const at = Math.floor(random() * Math.min(coded.length, round % 4 ? 12 : coded.length));
        coded[at]! ^= 1 << Math.floor(8 * random());
      }
      try {
        back(coded, 4, 1200);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidDataError);
      }
    }
  });

  if (name === 'none') return;

  it('comes near to the entropy of what is drawn one by one', () => {
    const plain = codes(200_000);
    const bits = (8 * encode(plain, 1).length) / plain.length;
    expect(entropy(plain)).toBeLessThan(6.5);
    // Coders that are adaptive pay for learning the 256 frequencies, zstd for whole bits.
    expect(bits).toBeGreaterThan(entropy(plain) - 0.01);
    expect(bits).toBeLessThan(1.02 * entropy(plain));
  });

  it('finds the exponents of weights among their noise', () => {
    const plain = weights(50_000);
    expect(encode(plain, 4).length / plain.length).toBeLessThan(0.875);
    // The same bytes without their planes: the difference is what planes are for.
    expect(encode(plain, 1).length / plain.length).toBeGreaterThan(0.88);
  });
});

describe('what the range coder learns', () => {
  it('is what one byte says of the next', () => {
    // Every byte is the one before plus 0 to 3: 2 bits a byte, where frequencies alone see 7.
    const random = seeded(6);
    let last = 0;
    const walk = Uint8Array.from({ length: 100_000 }, () => {
      last = (last + Math.floor(4 * random())) & 127;
      return last;
    });
    const coded = coders.range.encode(walk, 1);
    expect(entropy(walk)).toBeGreaterThan(6.9);
    expect((8 * coded.length) / walk.length).toBeLessThan(2.6);
  });

  it('is what the exponent says of the digits below', () => {
    // Powers of two alone: sign and exponent vary, the digits never do.
    const random = seeded(7);
    const powers = Float32Array.from({ length: 20_000 }, () => 2 ** Math.floor(16 * random() - 8));
    const bits = (8 * coders.range.encode(bytesOf(powers), 4).length) / powers.length;
    expect(bits).toBeGreaterThan(4);
    expect(bits).toBeLessThan(4.2);
  });
});
