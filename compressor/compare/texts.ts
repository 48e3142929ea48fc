import { parseTokenizer, type Tokenizer } from '../../artifact/tokenizer.ts';
import { windowTokens } from '../calibration/amounts.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { defaultPrompts } from '../evaluate/default-prompts.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import { type Document, readDocuments } from '../train/data/documents.ts';
import { DocumentEncoder } from '../train/data/encoder.ts';
import { digestOfAll, splitDocuments } from '../train/data/order.ts';
import { PackedSequences } from '../train/data/packed.ts';

/** Words of a held-out document that a model writes on from. */
const promptWords = 12;

/** What all models of a comparison are made with and measured on. */
export interface CompareTexts {
  tokenizer: Tokenizer;
  /** Of the training part: layers are ranked, patches and int4 fitted on it. */
  training(tokens: number): TextWindows;
  /** Never trained on nor looked at before. */
  heldOut: TextWindows;
  prompts: { text: string; tokens: Int32Array }[];
  /** Of all of the data. */
  digest: string;
}

/**
 * @param heldOutShare share of the documents that only measures, as in the cure
 * @param heldOutTokens tokens of them to measure on, at most
 */
export async function readTexts(
  checkpoint: Checkpoint,
  data: readonly string[],
  { heldOutShare, heldOutTokens, prompts }: { heldOutShare: number; heldOutTokens: number; prompts: number },
): Promise<CompareTexts> {
  const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
  const documents = await readDocuments(data);
  const { training, heldOut } = splitDocuments(documents, heldOutShare);
  const encoder = new DocumentEncoder(tokenizer, checkpoint.tokens);
  const length = Math.min(windowTokens, checkpoint.architecture.contextLength);
  return {
    tokenizer,
    training: (tokens) => pack(training, encoder, length, tokens),
    heldOut: pack(heldOut, encoder, length, heldOutTokens),
    prompts: promptsOf(heldOut)
      .slice(0, prompts)
      .map((text) => ({
        text,
        tokens: Int32Array.from([
          ...encoder.beginning,
          ...tokenizer.encode(text, { addSpecialTokens: false }),
        ]),
      })),
    digest: digestOfAll(documents),
  };
}

/** One pass over the documents at most; one window at least, should they be shorter. */
function pack(documents: Document[], encoder: DocumentEncoder, length: number, most: number): TextWindows {
  const sequences = new PackedSequences(documents, encoder, { seed: 0, length });
  const windows: Int32Array[] = [];
  const targets: Int32Array[] = [];
  do {
    const next = sequences.next(1);
    windows.push(next.tokens);
    targets.push(next.targets);
  } while (sequences.position.pass === 0 && (windows.length + 1) * length <= most);
  return { windows, targets, tokens: windows.length * length };
}

/** Beginnings of held-out texts, else, where there are conversations alone, the program's own. */
function promptsOf(documents: Document[]): readonly string[] {
  const own = documents.flatMap(({ content }) => {
    if (typeof content !== 'string') return [];
    const words = content.trim().split(/\s+/);
    return words.length > promptWords ? [words.slice(0, promptWords).join(' ')] : [];
  });
  return own.length > 0 ? own : defaultPrompts;
}
