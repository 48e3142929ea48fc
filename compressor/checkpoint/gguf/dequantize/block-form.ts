/** A quantization form of ggml: blocks of weights with scales of their own. */
export interface BlockForm {
  name: string;
  /** Weights of one block, along a row. */
  blockSize: number;
  blockBytes: number;
  /** @param bytes of whole blocks; @param out their weights. Every step is rounded to float32, as ggml does it. */
  dequantize(bytes: Uint8Array, out: Float32Array): void;
}
