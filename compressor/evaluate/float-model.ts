import { withResource } from '../../artifact/dispose.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import type { Student } from '../student/student.ts';
import { joined } from '../weights/joined.ts';
import { checkFinite, type EvaluatedModel, type Prediction, type Sequence } from './evaluated-model.ts';
import { type EvaluateOptions, evaluateStudent, maxStates, runStudent } from './student.ts';

/** Positions that go through the head together: 32 MB of logits for each tile of its vocabulary. */
const headRows = 1024;

/**
 * A student in float32, layer by layer: all sequences advance together, so that each block is read once for
 * as many of them as `statesAtATime` allows.
 */
export function floatModel(
  student: Student,
  about: Pick<EvaluatedModel, 'name' | 'tokenizer' | 'tokens' | 'close'>,
  statesAtATime = maxStates,
): EvaluatedModel {
  const predictAll = async (sequences: readonly Sequence[], options: EvaluateOptions = {}) => {
    const predictions = await predict(student, sequences, statesAtATime, options);
    for (const { losses } of predictions) for (const loss of losses) checkFinite(loss, about);
    return predictions;
  };
  return {
    ...about,
    contextLength: student.architecture.contextLength,
    evaluate: (text, options) => evaluateStudent(student, text, options),
    predict: predictAll,
    continueGreedily: (prompts, count, options) =>
      continueGreedily(predictAll, prompts, count, about.tokens.eos, options),
  };
}

async function predict(
  student: Student,
  sequences: readonly Sequence[],
  statesAtATime: number,
  { signal, onProgress }: EvaluateOptions,
): Promise<Prediction[]> {
  const predictions = new Array<Prediction>(sequences.length);
  const passes = passesOf(sequences, statesAtATime / student.architecture.width);
  const layers = student.layers.length;
  await withResource(new HeadRunner(student), async (head) => {
    for (const [pass, inputs] of passes.entries()) {
      const states = await runStudent(
        student,
        inputs.map(({ tokens }) => tokens),
        {
          onProgress: (done) => onProgress?.(pass * layers + done, passes.length * layers),
          ...(signal && { signal }),
        },
      );
      await predictFrom(head, states, inputs, sequences, predictions, signal);
    }
  });
  return predictions;
}

/** Tokens that several sequences may have in common, as those do that differ in one last token alone. */
interface Input {
  tokens: Int32Array;
  /** The sequences, by index. */
  users: number[];
}

/** The distinct inputs, in order, cut into passes of so many tokens. */
function passesOf(sequences: readonly Sequence[], maxTokens: number): Input[][] {
  const inputs = new Map<string, Input>();
  for (const [index, { tokens }] of sequences.entries()) {
    const key = tokens.join();
    const known = inputs.get(key);
    if (known) known.users.push(index);
    else inputs.set(key, { tokens, users: [index] });
  }
  const passes: Input[][] = [];
  let room = 0;
  for (const input of inputs.values()) {
    if (input.tokens.length > room) {
      passes.push([]);
      room = maxTokens;
    }
    passes.at(-1)!.push(input);
    room -= input.tokens.length;
  }
  return passes;
}

/** The head, only where a token is predicted; many positions at a time, though each sequence has few. */
async function predictFrom(
  head: HeadRunner,
  states: Float32Array[],
  inputs: Input[],
  sequences: readonly Sequence[],
  predictions: Prediction[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const rows: { state: Float32Array; target: number }[] = [];
  for (const [i, { tokens, users }] of inputs.entries()) {
    const width = states[i]!.length / tokens.length;
    for (const index of users) {
      const { targets } = sequences[index]!;
      const first = tokens.length - targets.length;
      targets.forEach((target, t) => {
        rows.push({ state: states[i]!.subarray((first + t) * width, (first + t + 1) * width), target });
      });
    }
  }
  const parts = Array.from({ length: Math.ceil(rows.length / headRows) }, (_, part) =>
    rows.slice(part * headRows, (part + 1) * headRows),
  );
  const found = await head.predictions(
    parts.map((part) => joined(part.map(({ state }) => state))),
    parts.map((part) => Int32Array.from(part, ({ target }) => target)),
    signal,
  );
  const losses = found.flatMap((part) => [...part.losses]);
  const likeliest = found.flatMap((part) => [...part.likeliest]);
  let row = 0;
  for (const index of inputs.flatMap(({ users }) => users)) {
    const end = row + sequences[index]!.targets.length;
    predictions[index] = {
      losses: Float64Array.from(losses.slice(row, end)),
      likeliest: Int32Array.from(likeliest.slice(row, end)),
    };
    row = end;
  }
}

/** Every step runs the whole sequences anew: without a cache there is no other way. */
async function continueGreedily(
  predictAll: EvaluatedModel['predict'],
  prompts: readonly Int32Array[],
  count: number,
  eos: readonly number[],
  { signal, onProgress }: EvaluateOptions = {},
): Promise<Int32Array[]> {
  const texts = prompts.map((tokens) => ({ tokens: [...tokens], ended: false }));
  for (let step = 0; step < count; step++) {
    const going = texts.filter(({ ended }) => !ended);
    if (going.length === 0) break;
    const sequences = going.map(({ tokens }) => ({
      tokens: Int32Array.from(tokens),
      targets: Int32Array.of(0), // any: what is likeliest is asked
    }));
    const predictions = await predictAll(sequences, signal ? { signal } : {});
    for (const [i, text] of going.entries()) {
      const token = predictions[i]!.likeliest[0]!;
      text.tokens.push(token);
      text.ended = eos.includes(token);
    }
    onProgress?.(step + 1, count);
  }
  return texts.map(({ tokens }, i) => Int32Array.from(tokens.slice(prompts[i]!.length)));
}
