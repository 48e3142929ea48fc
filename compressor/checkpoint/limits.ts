const MiB = 2 ** 20;

/** What a checkpoint may claim. Each is checked before anything of that size is allocated. */
export const limits = {
  /** Bytes of config.json and its like, which have a few KB; chat templates reach 20 KB. */
  configBytes: 4 * MiB,
  /** Bytes of tokenizer.json. The largest known, Gemma 3's, has 33 MB. */
  tokenizerBytes: 128 * MiB,
  /** Bytes of model.safetensors.index.json: about 100 for a tensor. */
  indexBytes: 32 * MiB,
  /** Files of one checkpoint. The largest published models have a few hundred. */
  shards: 1024,
  /** Bytes of a safetensors header: the format's own bound is 100 MB, real ones have 100 bytes a tensor. */
  safetensorsHeaderBytes: 32 * MiB,
  /** Tensors of one file: a hundred for each of 1024 layers. */
  tensors: 100_000,
  /** The safetensors and GGUF libraries stop at 8 and 4; ours are matrices. */
  tensorDimensions: 4,
  /** Elements along one dimension: what ONNX Runtime's kernels index with 32 bits. */
  dimension: 2 ** 31 - 1,
  /** Bytes of a name of a tensor or of a GGUF key: the format's own bounds are 64 and 65,535. */
  nameBytes: 4096,
  /** Keys of a GGUF header. Real ones have 20 to 60. */
  ggufKeys: 10_000,
  /** Bytes of one GGUF string. Chat templates reach 20 KB. */
  ggufStringBytes: 4 * MiB,
  /** Elements of a GGUF array: Gemma 3 has 262,144 pieces and 514,906 merges. */
  ggufArray: 2 ** 21,
  /** Bytes of a GGUF header, the tokenizer included. Gemma 3's has 6 MB, with merges 13 MB. */
  ggufHeaderBytes: 64 * MiB,
  /** Layers. The deepest published models have about 130. */
  layers: 1024,
  /** Bytes read from a file at a time while it is converted to float32. */
  readBytes: 4 * MiB,
} as const;
