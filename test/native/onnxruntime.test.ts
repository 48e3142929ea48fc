import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { FoldgateError } from '../../artifact/errors.ts';
import { Session, type SessionOptions } from '../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { GraphBuilder } from '../../compressor/onnx/graph.ts';

/** sum = x + y, over vectors of any length. */
function additions(options: SessionOptions = { threads: 1 }): Session {
  const g = new GraphBuilder();
  g.input('x', 'float32', ['n']);
  g.input('y', 'float32', ['n']);
  g.node('Add', ['x', 'y'], { outputs: ['sum'] });
  g.output('sum', 'float32', ['n']);
  return new Session(g.build('add'), options);
}

const floats = (...values: number[]) => new Tensor(Float32Array.from(values), [values.length]);
const zeros = (length: number) => new Tensor(new Float32Array(length), [length]);

describe('a session', () => {
  it('reads and writes the memory it is given', () => {
    const sum = zeros(3);
    const session = additions();
    session.run({ x: floats(1, 2, 3), y: floats(10, 20, 30) }, { sum });
    expect([...sum.data]).toEqual([11, 22, 33]);
    session[Symbol.dispose]();
  });

  it.runIf(process.platform === 'linux')('has threads of its own, or those that all share', () => {
    const threads = () => readdirSync('/proc/self/task').length;
    additions()[Symbol.dispose](); // whatever comes with the first
    const before = threads();
    const own = additions({ threads: 4 });
    expect(threads() - before).toBe(3); // the caller's own is the fourth
    const shared = [1, 2].map(() => additions({ sharedThreads: true, threads: 4 }));
    expect(threads() - before).toBe(3);
    for (const session of shared) {
      const sum = zeros(100_000);
      const x = new Tensor(new Float32Array(100_000).fill(1.5), [100_000]);
      session.run({ x, y: x }, { sum });
      expect(sum.data.every((value) => value === 3)).toBe(true);
    }
    for (const session of [own, ...shared]) session[Symbol.dispose]();
  });

  it('takes a part of a larger array by its own place', () => {
    const memory = Float32Array.from([1, 2, 3, 4, 5, 6]);
    const out = new Float32Array(6);
    const part = (all: Float32Array, start: number) => new Tensor(all.subarray(start, start + 2), [2]);
    const session = additions();
    session.run({ x: part(memory, 1), y: part(memory, 4) }, { sum: part(out, 3) });
    expect([...out]).toEqual([0, 0, 0, 7, 9, 0]);
    session[Symbol.dispose]();
  });

  it('sees what changes between the runs of one binding', () => {
    const [x, y, sum] = [floats(1), floats(2), zeros(1)];
    const session = additions();
    const binding = session.bind({ x, y }, { sum });
    const seen = [5, 6, 7].map((value) => {
      x.data[0] = value;
      binding.run();
      return sum.data[0];
    });
    expect(seen).toEqual([7, 8, 9]);
    binding.input('y', floats(100));
    binding.run();
    expect(sum.data[0]).toBe(107);
    binding[Symbol.dispose]();
    session[Symbol.dispose]();
  });

  it('keeps the memory of thousands of small tensors, collected garbage all around', () => {
    // Small arrays begin in V8's own heap, where the collector moves them; and the constructor is compiled
    // and optimized on the way.
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const session = additions();
    const bindings = Array.from({ length: 3000 }, (_, i) => {
      const sum = zeros(2);
      return { sum, binding: session.bind({ x: floats(i, 1), y: floats(1, i) }, { sum }) };
    });
    collect();
    const garbage: Float32Array[] = [];
    for (let i = 0; i < 20_000; i++) garbage[i % 100] = new Float32Array(16).fill(Number.NaN);
    collect();
    for (const [i, { binding, sum }] of bindings.entries()) {
      binding.run();
      if (sum.data[0] !== i + 1 || sum.data[1] !== i + 1) throw new Error(`${i}: ${sum.data}`);
      binding[Symbol.dispose]();
    }
    session[Symbol.dispose]();
  });

  it('frees what was collected: a long run of large tensors needs little memory', () => {
    const session = additions();
    const length = 1_000_000;
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 100; i++) session.run({ x: zeros(length), y: zeros(length) }, { sum: zeros(length) });
    // 100 times 12 MB went by.
    expect(process.memoryUsage.rss() - before).toBeLessThan(0.6e9);
    session[Symbol.dispose]();
  });

  it.each([
    ['no graph', () => new Session(new TextEncoder().encode('no graph')), 'CreateSession'],
    ['a file that is not there', () => new Session('/nowhere/model.onnx'), '/nowhere/model.onnx'],
  ])('says what is wrong with %s', (_what, open, message) => {
    expect(open).toThrow(FoldgateError);
    expect(open).toThrow(message);
  });

  it.each([
    ['an input it does not have', { x: floats(1), y: floats(1), z: floats(1) }, 'z'],
    ['a shape that does not fit', { x: floats(1, 2), y: floats(1, 2, 3) }, 'y'],
    ['a missing input', { x: floats(1) }, 'y'],
    ['another type', { x: new Tensor(new Int32Array(1), [1]), y: floats(1) }, 'x'],
  ])('refuses %s with a message, and goes on', (_what, inputs, named) => {
    const session = additions();
    const run = () => session.run(inputs as Record<string, Tensor>, { sum: zeros(1) });
    expect(run).toThrow(FoldgateError);
    expect(run).toThrow(named);
    const sum = zeros(1);
    session.run({ x: floats(2), y: floats(3) }, { sum });
    expect(sum.data[0]).toBe(5);
    session[Symbol.dispose]();
  });

  it('may be closed twice', () => {
    const session = additions();
    session[Symbol.dispose]();
    session[Symbol.dispose]();
  });
});

describe('a tensor', () => {
  it('has as many elements as its shape says', () => {
    expect(() => new Tensor(new Float32Array(5), [2, 3])).toThrow(RangeError);
    expect(() => new Tensor(new Float32Array(2), [])).toThrow('Shape [] has 1 elements, the data 2.');
    expect(new Tensor(new Float32Array(6), [2, 3]).shape).toEqual([2, 3]);
  });

  it('may be empty', () => {
    const session = additions();
    const sum = zeros(0);
    session.run({ x: zeros(0), y: zeros(0) }, { sum });
    expect(sum.data).toHaveLength(0);
    session[Symbol.dispose]();
  });
});
