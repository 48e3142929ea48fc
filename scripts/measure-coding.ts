/**
 * What the coders of saved states (compressor/coding) make of a cure's state and of a folded model's blobs, and how long
 * saving or loading takes with them over lines of several speeds:
 *
 *   node scripts/measure-coding.ts --state FILE.safetensors --model file:STORE/NAME [--megabytes 8]
 *
 * Only so many megabytes of each kind are coded, from places all over it. Times are those of one thread, the better of
 * two; coding and sending follow each other.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromBinary } from '@bufbuild/protobuf';
import { blobKey } from '../artifact/models/layout.ts';
import { readManifest } from '../artifact/models/read.ts';
import { openModelUrl } from '../artifact/store/open.ts';
import { coders } from '../compressor/coding/coder.ts';
import { ModelProtoSchema, TensorProto_DataType } from '../compressor/onnx/generated/onnx_pb.js';

/** Bytes a second of lines and disks: that of a cold start from object storage, and a good local one. */
const bandwidths = [75e6, 1e9];

/** Bytes that are coded at a time. */
const pieceBytes = 2 ** 20;

interface Piece {
  file: string;
  offset: number;
  length: number;
}

interface Kind {
  name: string;
  /** Bytes of one number. */
  width: number;
  pieces: Piece[];
}

const { values: flags } = parseArgs({
  options: {
    state: { type: 'string' },
    model: { type: 'string' },
    megabytes: { type: 'string', default: '8' },
  },
});
if (!flags.state && !flags.model) {
  process.stderr.write(
    'Usage: node scripts/measure-coding.ts [--state FILE.safetensors] [--model file:STORE/NAME] [--megabytes 8]\n',
  );
  process.exit(2);
}

/** Of a cure's state: what `AdamW` keeps of each parameter. */
async function kindsOfState(file: string): Promise<Kind[]> {
  const handle = await open(file);
  const start = Buffer.alloc(8);
  await handle.read(start, 0, 8, 0);
  const json = Buffer.alloc(Number(start.readBigUInt64LE()));
  await handle.read(json, 0, json.length, 8);
  await handle.close();
  const { __metadata__, ...tensors } = JSON.parse(json.toString());
  if (__metadata__.coding) throw new Error(`${file} is coded already: save it by --coding none.`);
  const kinds = { values: 'weights', mean: 'first moments', square: 'second moments' };
  return Object.entries(kinds).map(([suffix, name]) => ({
    name: `state: ${name}`,
    width: 4,
    pieces: Object.entries(tensors as Record<string, { data_offsets: [number, number] }>)
      .filter(([tensor]) => tensor.endsWith(`.${suffix}`))
      .map(
        ([
          ,
          {
            data_offsets: [from, to],
          },
        ]) => ({
          ...{ file, offset: 8 + json.length + from },
          length: to - from,
        }),
      ),
  }));
}

/** Of a folded model in a file store: its graph says which bytes of its blobs are codes, and which are numbers. */
async function kindsOfModel(url: string): Promise<Kind[]> {
  const { store, name } = await openModelUrl(url);
  const { manifest } = await readManifest(store, name);
  const folder = fileURLToPath(store.url);
  const graph = await store.read(blobKey(manifest.graph.sha256));
  const initializers = fromBinary(ModelProtoSchema, graph).graph!.initializer;
  const bits = manifest.quantization.gate?.bits;
  const codes: Kind = { name: `blobs: codes of int${bits}`, width: 1, pieces: [] };
  const numbers: Kind = { name: 'blobs: scales, norms', width: 4, pieces: [] };
  const seen = new Set<string>();
  for (const { dataType, externalData } of initializers) {
    const {
      location,
      offset = '0',
      length,
    } = Object.fromEntries(externalData.map(({ key, value }) => [key, value]));
    if (location === undefined || seen.has(`${location} ${offset}`)) continue;
    seen.add(`${location} ${offset}`);
    const kind = dataType === TensorProto_DataType.UINT8 ? codes : numbers;
    const file = join(folder, blobKey(location));
    kind.pieces.push({ file, offset: Number(offset), length: Number(length) });
  }
  return [codes, numbers];
}

/** Pieces of a megabyte, at equal distances over all that a kind has. */
async function sampled({ pieces, width }: Kind, megabytes: number): Promise<Uint8Array[]> {
  const all = pieces.flatMap(({ file, offset, length }) =>
    Array.from({ length: Math.ceil(length / pieceBytes) }, (_, i) => ({
      ...{ file, offset: offset + i * pieceBytes },
      length: Math.min(pieceBytes, length - i * pieceBytes),
    })),
  );
  const total = pieces.reduce((sum, { length }) => sum + length, 0);
  const step = Math.max(1, total / (megabytes * 1e6));
  const chosen = all.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step));
  const files = new Map<string, FileHandle>();
  const bytes: Uint8Array[] = [];
  for (const { file, offset, length } of chosen) {
    if (!files.has(file)) files.set(file, await open(file));
    const piece = new Uint8Array(length - (length % width));
    await files.get(file)!.read(piece, 0, piece.length, offset);
    bytes.push(piece);
  }
  for (const file of files.values()) await file.close();
  return bytes;
}

/** Seconds of the faster of two runs. */
function seconds(work: () => void): number {
  const runs = [0, 1].map(() => {
    const start = performance.now();
    work();
    return (performance.now() - start) / 1000;
  });
  return Math.min(...runs);
}

const speeds = bandwidths.map((bytes) => `${bytes / 1e6} MB/s`);
const head = ['what', 'MB', 'coder', 'left', 'encode MB/s', 'decode MB/s'];
const times = speeds.flatMap((speed) => [`save a GB, ${speed}`, `load a GB, ${speed}`]);
const line = (cells: readonly (string | number)[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
line([...head, ...times]);
line([...head, ...times].map(() => '---'));
const kinds = [
  ...(flags.state ? await kindsOfState(flags.state) : []),
  ...(flags.model ? await kindsOfModel(flags.model) : []),
];
for (const kind of kinds) {
  const pieces = await sampled(kind, Number(flags.megabytes));
  const total = kind.pieces.reduce((sum, { length }) => sum + length, 0);
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  for (const [name, coder] of Object.entries(coders)) {
    let coded: Uint8Array[] = [];
    const encode = seconds(() => {
      coded = pieces.map((piece) => coder.encode(piece, kind.width));
    });
    const decoded = pieces.map(({ length }) => new Uint8Array(length));
    const decode = seconds(() => {
      for (const [i, plain] of decoded.entries()) coder.decode(coded[i]!, kind.width, plain);
    });
    if (decoded.some((plain, i) => Buffer.compare(plain, pieces[i]!) !== 0))
      throw new Error(`${name} gave back other bytes of ${kind.name}.`);
    const left = coded.reduce((sum, { length }) => sum + length, 0) / bytes;
    // Bytes as they are need no coder at all.
    const perByte = name === 'none' ? [0, 0] : [encode / bytes, decode / bytes];
    const cost = bandwidths.flatMap((bandwidth) =>
      perByte.map((coding) => `${(1e9 * (coding + left / bandwidth)).toFixed(1)} s`),
    );
    const speed = (spent: number) => (name === 'none' ? '' : (bytes / spent / 1e6).toFixed(1));
    line([kind.name, (total / 1e6).toFixed(1), name, left.toFixed(3), speed(encode), speed(decode), ...cost]);
  }
}
