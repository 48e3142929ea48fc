import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withResource } from '../../artifact/dispose.ts';
import { adapterFormOf, adapterParameters } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Student } from '../student/student.ts';
import { CureCycle, nextBatches } from './cure-cycle.ts';
import { type CureOptions, type CureSettings, settle } from './cure-options.ts';
import type { HeldOut } from './cure-report.ts';
import { CureRun } from './cure-run.ts';
import { CureState } from './cure-state.ts';
import { readDocuments } from './data/documents.ts';
import { DocumentEncoder } from './data/encoder.ts';
import { digestOfAll, splitDocuments } from './data/order.ts';
import { type Batch, PackedSequences } from './data/packed.ts';
import { type AddedParts, checkMemory, planMemory } from './memory.ts';
import { Metrics } from './metrics.ts';
import { TrainedWeights } from './trained-weights.ts';

export interface Cured {
  student: Student;
  settings: CureSettings;
  steps: number;
  /** Trained on. */
  tokens: number;
  data: { documents: number; heldOut: number; sha256: string };
  before: HeldOut;
  after: HeldOut;
}

/**
 * Trains a folded model to answer as the checkpoint does: forward KL of the logits, with cross-entropy and
 * the last layers' states as further parts of the loss. Embedding and head stay as they are.
 *
 * The same settings and data give the same weights, bit for bit, on one machine, however often the cure was
 * interrupted.
 *
 * @throws UsageError for settings that make no sense, too little memory, or a state of another cure
 */
export async function cure(checkpoint: Checkpoint, student: Student, options: CureOptions): Promise<Cured> {
  const settings = settle(options, checkpoint.architecture.contextLength);
  const documents = await readDocuments(options.data);
  const split = splitDocuments(documents, settings.heldOutShare);
  const added = { ...(await addedParts(student)), rounded: options.codes !== undefined };
  const memory = planMemory(student, added, settings);
  options.onMemory?.(memory);
  checkMemory(memory, settings);

  const weights = await TrainedWeights.read(student, settings.part);
  const run = await CureRun.open(checkpoint, weights, settings, memory, options);
  return withResource(run, async () => {
    const sha256 = digestOfAll(documents);
    const identity = { settings, layers: student.layers, data: sha256, identity: options.identity ?? null };
    await mkdir(options.folder, { recursive: true });
    const path = join(options.folder, 'state.safetensors');
    const state = await CureState.open(path, identity, run.optimizer, options.coding);
    const { steps } = run.optimizer;
    const metrics = await Metrics.open(join(options.folder, 'metrics.jsonl'), steps, state.measured.length);
    const encoder = await DocumentEncoder.open(checkpoint);
    const { seed, length } = settings;
    const resumed = state.position && { position: state.position };
    const sequences = new PackedSequences(split.training, encoder, { seed, length, ...resumed });
    if (run.optimizer.prepare && !state.resumed) {
      const first = new PackedSequences(split.training, encoder, { seed, length });
      const onProgress = (done: number, total: number) => options.onPrepare?.(done, total);
      await run.prepareOptimizer(() => nextBatches(first, settings), onProgress, options.signal);
      await state.save();
    }
    const heldOut = heldOutBatches(
      new PackedSequences(split.heldOut, encoder, { seed: 0, length }),
      settings,
    );
    const cycle = new CureCycle({ run, settings, state, sequences, heldOut, metrics, options });
    const measured = await cycle.run();
    return {
      student: weights.asStudent(),
      settings,
      steps: run.optimizer.steps,
      tokens: run.optimizer.steps * settings.tokensPerStep,
      data: { documents: documents.length, heldOut: split.heldOut.length, sha256 },
      ...measured,
    };
  });
}

async function addedParts(student: Student): Promise<AddedParts> {
  const { architecture: a } = student;
  const source = student.pools ?? student.orchestra;
  const added = { patches: 0, adapters: source?.parameters ?? 0, pooled: 0 };
  for (const index of student.layers.keys()) {
    if (await student.patch(index)) added.patches++;
    const { gains, rank } = adapterFormOf(a, await student.own(index));
    const pooled = source?.layers.includes(index) ?? false;
    added.adapters += adapterParameters(a, { gains, rank: pooled ? 0 : rank });
    if (pooled) added.pooled = adapterParameters(a, { gains: false, rank });
  }
  return added;
}

/** As much of the documents as is measured on, once through them at most. */
function heldOutBatches(sequences: PackedSequences, { batch, length, heldOutTokens }: CureSettings): Batch[] {
  const batches: Batch[] = [];
  const wanted = Math.max(1, Math.floor(heldOutTokens / (batch * length)));
  while (batches.length < wanted && (batches.length === 0 || sequences.position.pass === 0)) {
    batches.push(sequences.next(batch));
  }
  return batches;
}
