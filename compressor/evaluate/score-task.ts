import { argmax, type EvaluatedModel, type Prediction } from './evaluated-model.ts';
import type { EvaluateOptions } from './student.ts';
import type { ChoiceItem, ContinuationItem, Task } from './task-file.ts';
import { pairEncoder } from './task-sequences.ts';

export interface TaskScore {
  /** Share of the items answered rightly. */
  accuracy: number;
  /** The same, with each choice's log-likelihood divided by its characters; null where nothing is chosen. */
  accuracyNorm: number | null;
  /** Standard error of `accuracy`; null for a single item. */
  stderr: number | null;
  items: number;
  /** As `accuracyNorm`, with bytes of UTF-8 in the place of characters. */
  accuracyBytes?: number;
  /** exp of the mean negative log-likelihood of a continuation, all of its tokens together. */
  perplexity?: number;
  /** Items whose context lost its first tokens, since the model does not see so many. */
  truncated: number;
}

export interface ScoreOptions extends EvaluateOptions {
  /** See `pairEncoder`. */
  delimiter?: string | undefined;
}

/** Scores a task as the Language Model Evaluation Harness does, without examples before the question. */
export async function scoreTask(
  model: EvaluatedModel,
  task: Task,
  options: ScoreOptions = {},
): Promise<TaskScore> {
  return task.kind === 'choice'
    ? scoreChoices(model, task.items, options)
    : scoreContinuations(model, task.items, options);
}

async function scoreChoices(
  model: EvaluatedModel,
  items: ChoiceItem[],
  options: ScoreOptions,
): Promise<TaskScore> {
  const encoder = pairEncoder(model, options.delimiter);
  const pairs = items.map(({ query, choices, where }) =>
    choices.map((choice) => encoder.encode(query, choice, where)),
  );
  const predictions = await model.predict(pairs.flat(), options);
  let next = 0;
  const right = { sum: 0, characters: 0, bytes: 0 };
  for (const { choices, gold } of items) {
    const scores = predictions.slice(next, next + choices.length).map(logLikelihood);
    next += choices.length;
    const characters = choices.map((choice) => [...choice].length);
    const bytes = choices.map((choice) => Buffer.byteLength(choice));
    if (argmax(scores) === gold) right.sum++;
    if (argmax(scores.map((score, i) => score / characters[i]!)) === gold) right.characters++;
    if (argmax(scores.map((score, i) => score / bytes[i]!)) === gold) right.bytes++;
  }
  const accuracy = right.sum / items.length;
  return {
    accuracy,
    accuracyNorm: right.characters / items.length,
    stderr: standardError(accuracy, items.length),
    items: items.length,
    accuracyBytes: right.bytes / items.length,
    truncated: pairs.filter((own) => own.some(({ dropped }) => dropped > 0)).length,
  };
}

async function scoreContinuations(
  model: EvaluatedModel,
  items: ContinuationItem[],
  options: ScoreOptions,
): Promise<TaskScore> {
  const encoder = pairEncoder(model, options.delimiter);
  const pairs = items.map(({ context, continuation, where }) => encoder.encode(context, continuation, where));
  const predictions = await model.predict(pairs, options);
  const right = pairs.filter(({ targets }, i) =>
    targets.every((target, t) => predictions[i]!.likeliest[t] === target),
  );
  const total = predictions.reduce((sum, prediction) => sum + logLikelihood(prediction), 0);
  const accuracy = right.length / items.length;
  return {
    accuracy,
    accuracyNorm: null,
    stderr: standardError(accuracy, items.length),
    items: items.length,
    perplexity: Math.exp(-total / items.length),
    truncated: pairs.filter(({ dropped }) => dropped > 0).length,
  };
}

function logLikelihood({ losses }: Prediction): number {
  return -losses.reduce((sum, loss) => sum + loss, 0);
}

/** Of a mean of zeros and ones, by the sample's standard deviation. */
function standardError(share: number, count: number): number | null {
  return count < 2 ? null : Math.sqrt((share * (1 - share)) / (count - 1));
}
