/** A quantization form of ggml: blocks of weights with scales of their own. */
export interface BlockForm {
  name: string;
  /** Weights of one block, along a row. */
  blockSize: number;
  blockBytes: number;
  /** @param bytes of whole blocks; @param out their weights. Every step is rounded to float32, as ggml does it. */
  dequantize(bytes: Uint8Array, out: Float32Array): void;
}

/**
 * A form by what one block means.
 * @param block writes the weights of the block at `bytes[at]` to `out[to]` and on
 */
export function blockForm(
  name: string,
  blockSize: number,
  blockBytes: number,
  block: (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void,
): BlockForm {
  return {
    name,
    blockSize,
    blockBytes,
    dequantize(bytes, out) {
      for (let at = 0, to = 0; to < out.length; at += blockBytes, to += blockSize) block(bytes, at, out, to);
    },
  };
}
