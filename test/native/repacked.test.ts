import { describe, expect, it } from 'vitest';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import type { LayerRole, TensorRole } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { readGraph } from '../fixtures/exported-graph.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { golden, maxDifference, picoPath } from '../fixtures/pico.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const matrices: [name: string, parts: LayerRole[]][] = [
  ['qkv', ['attention.q', 'attention.k', 'attention.v']],
  ['output', ['attention.output']],
  ['gate', ['mlp.gate']],
  ['up', ['mlp.up']],
  ['down', ['mlp.down']],
];

describe.each([
  ['llama-q4_0.gguf', 4, 'int4,embedding=int4'],
  ['llama-q8_0.gguf', 8, 'int8'],
] as const)('%s folded in its own %i bits', (form, bits, quantize) => {
  it("holds the checkpoint's weights bit for bit", async () => {
    const checkpoint = await openCheckpoint(picoPath(form));
    const { graphPath, manifest } = await foldInto(await temporaryFolder(), checkpoint, { quantize });
    for (const precision of Object.values(manifest.quantization)) {
      expect(precision).toEqual({ bits, blockSize: 32 });
    }
    const graph = await readGraph(graphPath);

    const stored: [name: string, roles: TensorRole[]][] = [
      ['embedding', ['embedding']],
      ['head', ['head']],
    ];
    for (const layer of checkpoint.architecture.layers.keys()) {
      for (const [name, parts] of matrices) {
        stored.push([`block.${layer}.${name}`, parts.map((part) => `layers.${layer}.${part}` as const)]);
      }
    }
    for (const [name, roles] of stored) {
      // The head's own embedding is never multiplied by: it is read by rows only.
      const [values, scales] =
        name === 'embedding'
          ? ['embedding.rows', 'embedding.row_scales']
          : [`${name}.values`, `${name}.scales`];
      const wanted: number[] = [];
      for (const role of roles) wanted.push(...(await checkpoint.tensor(role).read()));
      const codes = unpack(await graph.bytes(values), bits);
      const blockScales = await graph.floats(scales);
      expect(codes.length, name).toBe(wanted.length);
      codes.forEach((code, i) => {
        const weight = Math.fround((code - 2 ** (bits - 1)) * blockScales[Math.floor(i / 32)]!);
        if (!Object.is(weight + 0, wanted[i]! + 0))
          throw new Error(`${name}[${i}]: ${weight}, not ${wanted[i]}`);
      });
    }
    await checkpoint.close();
  });

  it("gives transformers' logits, but for the activations' rounding", async () => {
    const checkpoint = await openCheckpoint(picoPath(form));
    const folded = await foldInto(await temporaryFolder(), checkpoint, { quantize });
    const decoder = new Decoder({
      ...decoderOptions(folded.manifest, folded.graphPath, 64),
      threads: 1,
    });
    const { tokens, logits } = await golden(form);
    const found = await decoder.runAll(decoder.newCache(), tokens);
    const size = Math.max(...logits.map(Math.abs));
    expect(maxDifference(found, logits) / size).toBeLessThan(0.05);
    decoder[Symbol.dispose]();
    await checkpoint.close();
  });
});

function unpack(values: Uint8Array, bits: 4 | 8): number[] {
  return bits === 8 ? [...values] : [...values].flatMap((byte) => [byte % 16, Math.floor(byte / 16)]);
}
