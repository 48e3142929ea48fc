import type { TextDelta } from '../generate.ts';
import type { ToolFormat } from './formats.ts';
import { ToolCallParser } from './parser.ts';

/** Takes the tool calls out of a completion's text as it comes. */
export class ToolCallText {
  readonly #parser: ToolCallParser;

  constructor(format: ToolFormat) {
    this.#parser = new ToolCallParser(format);
  }

  split(delta: TextDelta): TextDelta {
    const { text, calls } = this.#parser.push(delta.text);
    const rest = delta.finish ? this.#parser.end().text : '';
    const isCall = delta.finish === 'stop' && this.#parser.calls > 0;
    return {
      ...delta,
      text: text + rest,
      ...(calls.length > 0 && { calls }),
      ...(isCall && { finish: 'tool_calls' }),
    };
  }
}
