import type { GenerationChunk, TokenLogprobs } from '../engine/engine.ts';
import { Detokenizer } from '../text/detokenizer.ts';
import { charactersOf, type Placed, ReportedTokens } from '../text/reported-tokens.ts';
import { spelledPieces } from '../text/spell.ts';
import { StopStrings } from '../text/stop-strings.ts';
import type { TextDelta, TextRequest } from './generate.ts';
import type { LoadedModel } from './loaded-model.ts';
import { reportToken } from './token-report.ts';

/** One completion on its way from tokens to text. */
export class CompletionText {
  readonly #model: LoadedModel;
  readonly #request: TextRequest;
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopStrings;
  readonly #reports: ReportedTokens<{ id: number; logprobs: TokenLogprobs }> | undefined;
  #tokens = 0;

  constructor(model: LoadedModel, request: TextRequest) {
    this.#model = model;
    this.#request = request;
    // Calls may begin or end with control tokens; the grammar allows no others beside them.
    const pieces = request.showSpecial || request.calls ? spelledPieces(model) : model.pieces;
    this.#detokenizer = new Detokenizer(pieces, { continues: request.continues });
    this.#stops = new StopStrings(request.stop);
    if (request.logprobs !== undefined) {
      this.#reports = new ReportedTokens(pieces, charactersOf(request.echo));
    }
  }

  /** @returns what there is to give out. With `finish` it is the last, whether or not the chunk was. */
  push({ tokens, logprobs, finish, stopToken, timings, cachedTokens = 0 }: GenerationChunk): TextDelta {
    const delta: TextDelta = { text: '', tokens: tokens.length };
    if (timings) Object.assign(delta, { timings, cachedTokens });
    if (this.#reports || this.#request.minTokens) {
      for (let i = 0; i < tokens.length && !delta.finish; i++) {
        this.#add(delta, tokens.slice(i, i + 1), logprobs?.[i]);
      }
    } else this.#add(delta, tokens);
    if (finish && !delta.finish) {
      this.#end(delta, finish);
      if (delta.stop === undefined && stopToken !== undefined) {
        this.#stopAt(delta, stopToken, logprobs?.[tokens.length]);
      }
    }
    return delta;
  }

  #add(delta: TextDelta, tokens: number[], logprobs?: TokenLogprobs): void {
    const text = this.#detokenizer.push(tokens);
    this.#tokens += tokens.length;
    if (logprobs) this.#reports?.add(tokens[0]!, text, { id: tokens[0]!, logprobs });
    this.#give(delta, text);
  }

  /** Searches the text for stop strings, but for that of the tokens there have to be. */
  #give(delta: TextDelta, made: string): void {
    const { minTokens = 0, includeStop } = this.#request;
    const { text, stop }: { text: string; stop?: string } =
      this.#tokens <= minTokens ? { text: made } : this.#stops.push(made);
    this.#append(delta, stop !== undefined && includeStop ? text + stop : text);
    if (stop !== undefined) Object.assign(delta, { finish: 'stop', stop });
  }

  #end(delta: TextDelta, finish: 'stop' | 'length'): void {
    this.#give(delta, this.#detokenizer.end());
    if (delta.finish) return;
    delta.finish = finish;
    this.#append(delta, this.#stops.end());
    this.#report(delta, this.#reports?.end());
  }

  #stopAt(delta: TextDelta, token: number, logprobs?: TokenLogprobs): void {
    const { includeStop, reportStop } = this.#request;
    const text = includeStop ? this.#detokenizer.push([token]) + this.#detokenizer.end() : '';
    delta.text += text;
    if (!logprobs || !(includeStop || reportStop)) return;
    this.#reports?.add(token, text, { id: token, logprobs });
    this.#report(delta, this.#reports?.end());
  }

  #append(delta: TextDelta, text: string): void {
    delta.text += text;
    this.#report(delta, this.#reports?.give(text));
  }

  #report(delta: TextDelta, placed: Placed<{ id: number; logprobs: TokenLogprobs }>[] = []): void {
    if (placed.length === 0) return;
    const reports = placed.map(({ report, ...place }) =>
      reportToken(this.#model, report.id, report.logprobs, place),
    );
    delta.logprobs = [...(delta.logprobs ?? []), ...reports];
  }
}
