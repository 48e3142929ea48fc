import { addressOf, created, type Handle, library } from './library.ts';

/** ONNX's element types, by the arrays that hold them. */
const elementTypes = new Map<unknown, number>([
  [Float32Array, 1],
  [Uint8Array, 2],
  [Int8Array, 3],
  [Int32Array, 6],
  [BigInt64Array, 7],
]);

export type TensorData = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;

const finalizer = new FinalizationRegistry<Handle>((handle) => library().release.Value(handle));

/**
 * A tensor over an array's memory, not copied: what the runtime writes is seen in `data`, and what is
 * written to `data` is seen by the next run.
 */
export class Tensor<T extends TensorData = TensorData> {
  readonly data: T;
  readonly shape: readonly number[];
  protected readonly buffer: ArrayBufferLike;
  readonly handle: Handle;

  /** @throws RangeError where the shape and the data differ in size */
  constructor(data: T, shape: readonly number[]) {
    const size = shape.reduce((product, length) => product * length, 1);
    if (size !== data.length)
      throw new RangeError(`Shape [${shape}] has ${size} elements, the data ${data.length}.`);
    this.data = data;
    // Small arrays live in V8's heap, which moves them, until their buffer is asked for.
    this.buffer = data.buffer;
    this.shape = shape;
    const { call, cpuMemory } = library();
    const dimensions = BigInt64Array.from(shape, BigInt);
    const type = elementTypes.get(data.constructor)!;
    // An empty array has no address; any other does for no bytes.
    const address = data.byteLength === 0 ? addressOf(dimensions) : addressOf(data);
    this.handle = created((out) =>
      call.CreateTensorWithDataAsOrtValue(
        cpuMemory,
        address,
        data.byteLength,
        dimensions,
        shape.length,
        type,
        out,
      ),
    );
    finalizer.register(this, this.handle);
  }
}
