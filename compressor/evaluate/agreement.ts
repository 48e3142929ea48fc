import { UsageError } from '../../artifact/errors.ts';
import type { EvaluatedModel } from './evaluated-model.ts';
import type { EvaluateOptions } from './student.ts';

/** A text that a model wrote greedily. */
export interface Written {
  prompt: Int32Array;
  /** What it wrote, the token that ended it included. */
  tokens: Int32Array;
}

/** How far a model goes with another, its teacher. */
export interface Agreement {
  /** Tokens until the first that the teacher would have chosen otherwise, as a share of all. */
  prefixShare: number;
  /** The same, as a mean over texts, in tokens. */
  meanPrefix: number;
  /** Share of all tokens that the teacher would have chosen too, after what stands before them. */
  nextToken: number;
  /** Per text: tokens until the first difference. */
  prefixes: number[];
}

/**
 * Compares greedy texts with those of a teacher. The teacher reads each text once and need not write: up to
 * the first difference its own greedy text is the same, and there its likeliest token is another.
 * @throws UsageError where the teacher has other tokens
 */
export async function agreementWith(
  teacher: EvaluatedModel,
  model: Pick<EvaluatedModel, 'name' | 'tokenizer'>,
  texts: readonly Written[],
  options: EvaluateOptions = {},
): Promise<Agreement> {
  const sequences = texts.map(({ prompt, tokens }) => ({
    tokens: Int32Array.from([...prompt, ...tokens.subarray(0, -1)]),
    targets: tokens,
  }));
  for (const { tokens, targets } of sequences) {
    refuseOtherTokens(teacher, model, [...tokens, ...targets]);
    if (tokens.length > teacher.contextLength) {
      throw new UsageError(
        `${teacher.name} sees ${teacher.contextLength} tokens at once, and a text has ${tokens.length}. Ask for fewer --tokens.`,
      );
    }
  }
  const predictions = await teacher.predict(sequences, options);
  const agrees = texts.map(({ tokens }, i) =>
    [...tokens].map((token, t) => predictions[i]!.likeliest[t] === token),
  );
  const prefixes = agrees.map((own) => (own.includes(false) ? own.indexOf(false) : own.length));
  const total = agrees.reduce((sum, own) => sum + own.length, 0);
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
  return {
    prefixShare: sum(prefixes) / total,
    meanPrefix: sum(prefixes) / texts.length,
    nextToken: sum(agrees.map((own) => own.filter(Boolean).length)) / total,
    prefixes,
  };
}

function refuseOtherTokens(
  teacher: Pick<EvaluatedModel, 'name' | 'tokenizer'>,
  model: Pick<EvaluatedModel, 'name' | 'tokenizer'>,
  ids: Iterable<number>,
): void {
  for (const id of ids) {
    const [theirs, own] = [teacher.tokenizer.tokenOf(id), model.tokenizer.tokenOf(id)];
    if (theirs === own) continue;
    throw new UsageError(
      `${teacher.name} cannot be the teacher of ${model.name}: token ${id} is ${JSON.stringify(theirs)} there ` +
        `and ${JSON.stringify(own)} here. Name the checkpoint that the model was folded from.`,
    );
  }
}
