import { InvalidDataError, NotFoundError } from '../../artifact/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { isObject, parseObject } from './json.ts';

/**
 * Refuses a tokenizer that gives tokens which the embedding has no row for: text with one of them would
 * end in an error of the runtime, in the middle of a request.
 *
 * Special tokens are let pass: Gemma's text models list the image token of their multimodal kin, which no
 * text of theirs holds.
 * @throws InvalidDataError naming the first such token
 */
export async function checkTokens({
  path,
  tokens,
  architecture,
  tokenizerFiles,
}: Pick<Checkpoint, 'path' | 'tokens' | 'architecture' | 'tokenizerFiles'>): Promise<void> {
  const rows = architecture.vocabularySize;
  const refuse = (what: string, id: number) => {
    throw new InvalidDataError(
      `${path}: ${what} has the id ${id}, but the embedding has ${rows} rows, for the ids 0 to ${rows - 1}. ` +
        'Its tokenizer and its weights belong to different models: fetch both again from one place.',
    );
  };
  const named: [string, number | undefined][] = [
    ['the beginning-of-text token', tokens.bos],
    ...tokens.eos.map((id): [string, number] => ['an end-of-text token', id]),
  ];
  for (const [what, id] of named) if (id !== undefined && id >= rows) refuse(what, id);
  const files = await tokenizerFiles().catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined; // told by who needs it
    throw error;
  });
  if (!files) return;
  for (const [token, id] of vocabulary(parseObject(files['tokenizer.json'], `${path}: tokenizer.json`))) {
    if (id >= rows) refuse(`the token ${JSON.stringify(token)}`, id);
  }
}

/** Every token of a tokenizer.json but the special ones. What else may be wrong with it, its parser says. */
function* vocabulary({ model, added_tokens: added }: Record<string, unknown>): Generator<[string, number]> {
  const special = new Set<unknown>();
  for (const token of Array.isArray(added) ? added.filter(isObject) : []) {
    if (token.special === true) special.add(token.content);
    else if (typeof token.id === 'number') yield [String(token.content), token.id];
  }
  const pieces = isObject(model) ? model.vocab : undefined;
  // Unigram models list [piece, score] by id, all others map piece to id.
  const ids = Array.isArray(pieces)
    ? pieces.map((piece, id): [unknown, unknown] => [Array.isArray(piece) ? piece[0] : piece, id])
    : Object.entries(isObject(pieces) ? pieces : {});
  for (const [token, id] of ids) {
    if (typeof id === 'number' && !special.has(token)) yield [String(token), id];
  }
}
