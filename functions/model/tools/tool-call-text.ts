import type { TextDelta } from '../generate.ts';
import type { ToolFormat } from './formats.ts';
import { ToolCallParser } from './parser.ts';
import type { CalledFunction } from './tool.ts';

/** The calls that a text may have. */
export interface PossibleCalls {
  format: ToolFormat;
  functions: readonly CalledFunction[];
}

/** Takes the tool calls out of a completion's text as it comes. */
export class ToolCallText {
  readonly #parser: ToolCallParser;

  constructor({ format, functions }: PossibleCalls) {
    this.#parser = new ToolCallParser(format, functions);
  }

  split(delta: TextDelta): TextDelta {
    const { text, calls } = this.#parser.push(delta.text);
    const rest = delta.finish ? this.#parser.end() : '';
    const isCall = delta.finish === 'stop' && this.#parser.calls > 0;
    return {
      ...delta,
      text: text + rest,
      ...(calls.length > 0 && { calls }),
      ...(isCall && { finish: 'tool_calls' }),
    };
  }
}
