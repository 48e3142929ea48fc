import { type ChatTemplate, chatTemplate } from '../../../artifact/chat-template.ts';
import { InvalidDataError, UsageError } from '../../../artifact/errors.ts';
import { parseTokenizer, type Tokenizer } from '../../../artifact/tokenizer.ts';
import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { beginningOf } from '../../evaluate/beginning.ts';
import type { Document } from './documents.ts';

/** Turns documents into token ids. */
export class DocumentEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate | undefined;
  /** What the tokenizer puts before every text: its beginning-of-text token, or nothing. */
  readonly beginning: readonly number[];
  /** Follows a text where nothing would tell the next one's beginning. */
  readonly #end: readonly number[];

  static async open(
    checkpoint: Pick<Checkpoint, 'name' | 'tokenizerFiles' | 'tokens'>,
  ): Promise<DocumentEncoder> {
    const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
    return new DocumentEncoder(tokenizer, checkpoint.tokens);
  }

  constructor(
    tokenizer: Tokenizer,
    { eos, chatTemplate: source }: Pick<Checkpoint['tokens'], 'eos' | 'chatTemplate'>,
  ) {
    this.#tokenizer = tokenizer;
    this.#template = source === undefined ? undefined : chatTemplate(source, tokenizer.namedTokens);
    this.beginning = beginningOf(tokenizer);
    const hasBounds =
      tokenizer.encode('a').length > tokenizer.encode('a', { addSpecialTokens: false }).length;
    this.#end = hasBounds ? [] : eos.slice(0, 1);
  }

  /**
   * A text with what the tokenizer puts around it; where that is nothing, an end-of-text token follows. A
   * conversation as the chat template writes it, which has beginnings and ends of its own.
   * @throws UsageError for a conversation where the checkpoint has no chat template
   * @throws InvalidDataError where the template refuses it
   */
  encode({ content }: Pick<Document, 'content'>): number[] {
    if (typeof content === 'string') return [...this.#tokenizer.encode(content), ...this.#end];
    if (!this.#template)
      throw new UsageError(
        'The training data has conversations ("messages"), and the checkpoint no chat template: give "text".',
      );
    let text: string;
    try {
      text = this.#template.render(content, { answer: false });
    } catch (cause) {
      const [first] = content;
      throw new InvalidDataError(
        `The chat template refuses the conversation that begins "${first?.content.slice(0, 60)}": ${(cause as Error).message}`,
        { cause },
      );
    }
    return this.#tokenizer.encode(text, { addSpecialTokens: false });
  }
}
