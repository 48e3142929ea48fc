import { type Half, halves } from '../../artifact/manifest.ts';
import { type Architecture, storedArchitecture } from '../checkpoint/architecture.ts';
import { blockParameters } from '../weights/block.ts';
import { keptAbove } from './kept-above.ts';
import type { LayerHalf, Ranking, RankRequest } from './ranker.ts';

/**
 * Halves of layers that go one after the other, until as much is gone as a request asks for. A share is counted in
 * parameters of blocks: the removal ends where nothing that may go would bring it nearer.
 */
export class HalfRemoval {
  /** In the order of depth, attention before MLP. */
  readonly all: readonly LayerHalf[];
  /** Those that may go at all. */
  readonly removable: readonly LayerHalf[];
  /** In the order in which they went. */
  readonly removed: LayerHalf[] = [];
  readonly #sizes: Record<Half, number>;
  readonly #target: number;
  readonly #until: RankRequest['until'];

  constructor(a: Architecture, { remove = 0, share, until, keep = [] }: RankRequest) {
    this.all = a.layers.flatMap((_, layer) => halves.map((half) => ({ layer, half })));
    this.removable = this.all.filter(({ layer }) => !keep.includes(layer));
    const stored = storedArchitecture(a);
    this.#sizes = { attention: blockParameters(stored, 'attention'), mlp: blockParameters(stored, 'mlp') };
    this.#target = (share ?? remove / a.layers.length) * a.layers.length * blockParameters(stored);
    this.#until = until;
  }

  /** Those of which one may go next; none where enough are gone. */
  candidates(): LayerHalf[] {
    if (this.#until?.(this.removed)) return [];
    const left = this.#left();
    const attentionsLeft = this.#remaining(this.all).filter(({ half }) => half === 'attention').length;
    return this.#remaining(this.removable).filter(({ half }) => {
      // Without any attention a token would know nothing of those before it.
      if (half === 'attention' && attentionsLeft === 1) return false;
      return this.#until !== undefined || this.#sizes[half] < 2 * left;
    });
  }

  /** How many more may go, about. */
  get roundsLeft(): number {
    const mean = (this.#sizes.attention + this.#sizes.mlp) / 2;
    return Math.max(1, Math.round(this.#left() / mean));
  }

  /** @param scores of each of `all` */
  ranking(scores: readonly number[]): Ranking {
    const gone = this.removed.map((half) => this.all.indexOf(half));
    const lifted = keptAbove(scores, gone);
    const of = (half: Half) => lifted.filter((_, i) => this.all[i]!.half === half);
    const [attention, mlp] = [of('attention'), of('mlp')];
    return {
      // A layer matters as much as that half of it that matters more.
      scores: attention.map((score, layer) => Math.max(score, mlp[layer]!)),
      halves: { scores: { attention, mlp }, removed: this.removed },
    };
  }

  #left(): number {
    return this.removed.reduce((left, { half }) => left - this.#sizes[half], this.#target);
  }

  #remaining(parts: readonly LayerHalf[]): LayerHalf[] {
    return parts.filter((part) => !this.removed.includes(part));
  }
}
