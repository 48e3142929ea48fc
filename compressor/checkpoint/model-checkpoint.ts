import { InvalidDataError } from '../../artifact/errors.ts';
import type { Architecture } from './architecture.ts';
import { canonicalTensor, type Rearrangement, type StoredTensor } from './canonical.ts';
import { type Checkpoint, type CheckpointTensor, layerRoles, type TensorRole } from './checkpoint.ts';
import { shapeOf } from './shapes.ts';

/** What a file format's reader found. */
export interface Opened {
  name: string;
  path: string;
  files: Checkpoint['files'];
  architecture: Architecture;
  tokens: Checkpoint['tokens'];
  tokenizerFiles: Checkpoint['tokenizerFiles'];
  /** The role's name in the file and, if it is there, the tensor. */
  find(role: TensorRole): { name: string | undefined; stored: StoredTensor | undefined };
  rearrangement(role: TensorRole): Rearrangement;
  /** Every tensor's name, and how those of layers begin. */
  names(): Iterable<string>;
  layerPrefix: string;
  close(): Promise<void>;
}

/** Turns what a file holds into the canonical model; every tensor is looked up once, so that a lack is found on opening. */
export class ModelCheckpoint implements Checkpoint {
  readonly name: string;
  readonly path: string;
  readonly files: Checkpoint['files'];
  readonly architecture: Architecture;
  readonly tokens: Checkpoint['tokens'];
  readonly tokenizerFiles: Checkpoint['tokenizerFiles'];
  readonly close: () => Promise<void>;
  readonly #opened: Opened;

  constructor(opened: Opened) {
    this.#opened = opened;
    this.name = opened.name;
    this.path = opened.path;
    this.files = opened.files;
    this.architecture = opened.architecture;
    this.tokens = opened.tokens;
    this.tokenizerFiles = opened.tokenizerFiles;
    this.close = opened.close;
    const used = new Set<string>();
    for (const role of this.#roles()) {
      this.tensor(role);
      used.add(opened.find(role).name!);
    }
    refuseUnused(opened, used);
  }

  tensor(role: TensorRole): CheckpointTensor {
    const { name, stored } = this.#opened.find(role);
    const shape = shapeOf(this.architecture, role);
    if (!shape)
      throw new InvalidDataError(
        `${this.path}: a ${this.architecture.family} model like this has no ${role}.`,
      );
    if (!stored)
      throw new InvalidDataError(`${this.path} lacks the tensor ${name ?? role}. It is no whole checkpoint.`);
    return canonicalTensor(role, stored, shape, this.#opened.rearrangement(role), this.path);
  }

  /** Every tensor the architecture has. */
  *#roles(): Generator<TensorRole> {
    const roles: TensorRole[] = ['embedding', 'norm', 'head'];
    for (const role of roles) if (shapeOf(this.architecture, role)) yield role;
    for (let layer = 0; layer < this.architecture.layers.length; layer++) {
      for (const layerRole of layerRoles) {
        if (shapeOf(this.architecture, `layers.${layer}.${layerRole}`)) yield `layers.${layer}.${layerRole}`;
      }
    }
  }
}

/** Tables that older converters stored, and which the architecture gives. */
const derived = /rotary_emb\.inv_freq$|attn_rot_embd\.weight$/;

/** A tensor of a layer that no role reads is part of a computation that Foldgate does not know. */
function refuseUnused({ names, layerPrefix, path, architecture }: Opened, used: Set<string>): void {
  for (const name of names()) {
    if (!name.startsWith(layerPrefix) || used.has(name) || derived.test(name)) continue;
    throw new InvalidDataError(
      `${path} has the tensor ${name}, which a ${architecture.family} model of ${architecture.layers.length} layers does not use: ` +
        'folding without it would give another model.',
    );
  }
}
