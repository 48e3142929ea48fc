/** The only door to the tokenizer library: text to token ids, and what each token id stands for. */
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { InvalidDataError } from './errors.ts';
import { type SlicingRule, slicingRule } from './text-slices.ts';

export interface EncodeOptions {
  /**
   * What the checkpoint puts around every text, such as its beginning-of-text token. False for text that
   * brings its own, as chat templates do. @default true
   */
  addSpecialTokens?: boolean;
}

export interface Tokenizer {
  /** Ids the vocabulary holds; the model's own table may be padded beyond. */
  readonly size: number;
  encode(text: string, options?: EncodeOptions): number[];
  /** How long texts can be cut without a change to their tokens; undefined where that is not known. */
  readonly slicing?: SlicingRule | undefined;
  /** The token as the vocabulary spells it (`Ġfox`, `▁fox`, `<0xE2>`), not as text. */
  tokenOf(id: number): string | undefined;
  idOf(token: string): number | undefined;
  /** `text`: written as it stands, never in byte-level spelling. `special`: control, no text at all. */
  addedKind(id: number): 'special' | 'text' | undefined;
  /** The `decoder` part of tokenizer.json: how tokens become text. */
  readonly decoder: unknown;
  /** The tokens that chat templates name: `bos_token`, `eos_token`, ... as tokenizer_config.json has them. */
  readonly namedTokens: Readonly<Record<string, string>>;
}

export interface TokenizerFiles {
  'tokenizer.json': Uint8Array;
  'tokenizer_config.json'?: Uint8Array | undefined;
}

/**
 * @param where names the files in errors.
 * @throws InvalidDataError where they are no tokenizer this library reads.
 */
export function parseTokenizer(files: TokenizerFiles, where: string): Tokenizer {
  const json = parseObject(files['tokenizer.json'], `${where}: tokenizer.json`);
  const configBytes = files['tokenizer_config.json'];
  const config = configBytes ? parseObject(configBytes, `${where}: tokenizer_config.json`) : {};
  let hub: HubTokenizer;
  try {
    // The library insists on keys that other readers take as optional.
    const complete = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...json };
    hub = new HubTokenizer({ added_tokens: [], ...complete }, config);
  } catch (cause) {
    throw new InvalidDataError(`${where}: tokenizer.json is of a kind that cannot be read here.`, { cause });
  }
  forgetSource(hub, json);
  const added = hub.get_added_tokens_decoder();
  const vocabulary: Map<string, number> = hub.get_vocab();
  const isPlain = !hub.remove_space && !hub.do_lowercase_and_remove_accent;
  return {
    size: sizeOf(vocabulary),
    slicing: isPlain ? slicingRule(json, vocabulary.keys()) : undefined,
    encode(text, { addSpecialTokens = true } = {}) {
      const ids = hub.encode(text, { add_special_tokens: addSpecialTokens }).ids as (number | undefined)[];
      // Characters outside a vocabulary without an unknown token have no id.
      return ids.filter((id) => id !== undefined);
    },
    tokenOf: (id) => hub.id_to_token(id),
    idOf: (token) => hub.token_to_id(token),
    addedKind(id) {
      const token = added.get(id);
      return token && (token.special ? 'special' : 'text');
    },
    decoder: json.decoder,
    namedTokens: namedTokens(config),
  };
}

function parseObject(bytes: Uint8Array, where: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidDataError(`${where} is no JSON: the file is damaged. Get it anew.`, { cause });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new InvalidDataError(`${where} should hold an object: the file is damaged. Get it anew.`);
  }
  return json as Record<string, unknown>;
}

/**
 * The library keeps the JSON it was given, though all of the vocabulary and the merges has gone into maps of
 * its own: 10 MB and more for the life of a server.
 */
function forgetSource(hub: HubTokenizer, json: Record<string, unknown>): void {
  const model = json.model as { vocab?: unknown; merges?: unknown };
  delete model.vocab;
  delete model.merges;
  const read = hub.model as { merges?: unknown } | null;
  if (read) delete read.merges;
}

function sizeOf(vocabulary: Map<string, number>): number {
  let size = 0;
  for (const id of vocabulary.values()) size = Math.max(size, id + 1);
  return size;
}

/** `"bos_token": "<s>"` and `"bos_token": {"content": "<s>", ...}` are both in use. */
function namedTokens(config: Record<string, unknown>): Record<string, string> {
  const named: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith('_token')) continue;
    const token = typeof value === 'object' ? (value as { content?: unknown } | null)?.content : value;
    if (typeof token === 'string') named[key] = token;
  }
  return named;
}
