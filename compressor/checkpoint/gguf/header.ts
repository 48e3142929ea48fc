import { InvalidDataError } from '../../../artifact/errors.ts';
import { limits } from '../limits.ts';
import type { RangeFile } from '../range-file.ts';
import { Cursor, type NumberType, numberBytes } from './cursor.ts';

/** A value of the header. Numbers and booleans in arrays come as float64: exact up to 2^53. */
export type GgufValue = string | number | boolean | string[] | Float64Array;

export interface GgufTensor {
  name: string;
  /** Fastest first, as in the file: [inputs, outputs]. */
  dimensions: number[];
  /** ggml's number of the quantization form. */
  type: number;
  /** Byte of the file where the data begin. */
  offset: number;
}

export interface GgufHeader {
  version: number;
  values: Map<string, GgufValue>;
  tensors: GgufTensor[];
}

const magic = 0x46554747; // "GGUF"
const defaultAlignment = 32;
const maxAlignment = 65_536;

const [uint8, boolean, string, array] = [0, 7, 8, 9];
const numberTypes: Record<number, NumberType> = {
  [uint8]: 'uint8',
  1: 'int8',
  2: 'uint16',
  3: 'int16',
  4: 'uint32',
  5: 'int32',
  6: 'float32',
  [boolean]: 'uint8',
  10: 'uint64',
  11: 'int64',
  12: 'float64',
};

/**
 * Reads a GGUF header, version 2 or 3: counts, key-value pairs, tensors.
 * Own code where @huggingface/gguf exists, because that one reads zeros past the end of a truncated file, cuts a
 * string at the end of its window and a byte order mark off a piece, and keeps the last of two equal keys.
 * @throws InvalidDataError where it is damaged or beyond the limits
 */
export async function readGgufHeader(file: RangeFile): Promise<GgufHeader> {
  const cursor = new Cursor(file, limits.ggufHeaderBytes);
  const version = await readVersion(cursor, file);
  const tensorCount = await readCount(cursor, limits.tensors, `${file.path}: the tensor count`);
  const keyCount = await readCount(cursor, limits.ggufKeys, `${file.path}: the count of keys`);
  const values = new Map<string, GgufValue>();
  for (let i = 0; i < keyCount; i++) {
    const key = await cursor.string(limits.nameBytes, 'a key');
    if (values.has(key)) throw new InvalidDataError(`${file.path}: the key ${key} comes twice.`);
    values.set(key, await readValue(cursor, await cursor.read('uint32'), `${file.path}: ${key}`));
  }
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await readTensor(cursor, file);
    if (tensors.has(tensor.name))
      throw new InvalidDataError(`${file.path}: the tensor ${tensor.name} comes twice.`);
    tensors.set(tensor.name, tensor);
  }
  const alignment = readAlignment(values, file);
  const data = Math.ceil(cursor.position / alignment) * alignment;
  for (const tensor of tensors.values()) {
    if (tensor.offset % alignment !== 0) {
      throw new InvalidDataError(
        `${file.path}: ${tensor.name} begins at ${tensor.offset}, no multiple of ${alignment}.`,
      );
    }
    tensor.offset += data;
  }
  return { version, values, tensors: [...tensors.values()] };
}

async function readVersion(cursor: Cursor, file: RangeFile): Promise<number> {
  if ((await cursor.read('uint32')) !== magic) {
    throw new InvalidDataError(`${file.path} does not begin with "GGUF": it is no GGUF file.`);
  }
  const version = await cursor.read('uint32');
  if (version === 2 || version === 3) return version;
  if (version > 0xffff)
    throw new InvalidDataError(`${file.path} is big-endian. Convert it to little-endian.`);
  throw new InvalidDataError(
    `${file.path} has GGUF version ${version}; versions 2 and 3 are read. Convert the model again.`,
  );
}

async function readCount(cursor: Cursor, limit: number, what: string): Promise<number> {
  const count = await cursor.read('uint64');
  if (count <= limit) return count;
  throw new InvalidDataError(`${what} is ${count}, more than ${limit}.`);
}

async function readValue(cursor: Cursor, type: number, what: string): Promise<GgufValue> {
  if (type === string) return cursor.string(limits.ggufStringBytes, what);
  if (type === array) return readArray(cursor, what);
  const number = numberTypes[type];
  if (number === undefined) throw new InvalidDataError(`${what} has the unknown type ${type}.`);
  const value = await cursor.read(number);
  return type === boolean ? value !== 0 : value;
}

async function readArray(cursor: Cursor, what: string): Promise<string[] | Float64Array> {
  const type = await cursor.read('uint32');
  const number = numberTypes[type];
  if (number === undefined && type !== string) {
    throw new InvalidDataError(`${what} is an array of type ${type}. Expected strings or numbers.`);
  }
  const length = await readCount(cursor, limits.ggufArray, `${what}: its length`);
  const elementBytes = number ? numberBytes[number] : 8; // a string has at least its length
  if (length * elementBytes > cursor.remaining) {
    throw new InvalidDataError(
      `${what} claims ${length} elements, the file has ${cursor.remaining} bytes left.`,
    );
  }
  if (number) {
    const values = new Float64Array(length);
    for (let i = 0; i < length; i++) {
      if (!cursor.has(8)) await cursor.need(elementBytes);
      values[i] = cursor.number(number);
    }
    return values;
  }
  const strings: string[] = [];
  for (let i = 0; i < length; i++) strings.push(await cursor.string(limits.ggufStringBytes, what));
  return strings;
}

async function readTensor(cursor: Cursor, file: RangeFile): Promise<GgufTensor> {
  const name = await cursor.string(limits.nameBytes, "a tensor's name");
  const rank = await cursor.read('uint32');
  if (rank < 1 || rank > limits.tensorDimensions) {
    throw new InvalidDataError(
      `${file.path}: ${name} has ${rank} dimensions. Expected 1 to ${limits.tensorDimensions}.`,
    );
  }
  const dimensions: number[] = [];
  for (let i = 0; i < rank; i++) {
    const size = await cursor.read('uint64');
    if (size < 1 || size > limits.dimension) {
      throw new InvalidDataError(
        `${file.path}: ${name} has a dimension of ${size}. Expected 1 to ${limits.dimension}.`,
      );
    }
    dimensions.push(size);
  }
  const type = await cursor.read('uint32');
  const offset = await cursor.read('uint64');
  if (offset > file.size) {
    throw new InvalidDataError(
      `${file.path}: ${name} begins ${offset} bytes into data of a file of ${file.size} bytes.`,
    );
  }
  return { name, dimensions, type, offset };
}

function readAlignment(values: Map<string, GgufValue>, file: RangeFile): number {
  const alignment = values.get('general.alignment') ?? defaultAlignment;
  if (
    typeof alignment === 'number' &&
    alignment >= 1 &&
    alignment <= maxAlignment &&
    Number.isInteger(Math.log2(alignment))
  ) {
    return alignment;
  }
  throw new InvalidDataError(
    `${file.path}: general.alignment is ${alignment}. Expected a power of two up to ${maxAlignment}.`,
  );
}
