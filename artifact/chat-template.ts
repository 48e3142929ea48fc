import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { InvalidDataError } from './errors.ts';
import { strftime } from './strftime.ts';

export interface ChatMessage {
  role: string;
  content: string;
  /** An assistant's. Templates write the arguments, which are JSON values, in their own way. */
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: unknown } }[];
  /** A tool's: the call that it answers. */
  tool_call_id?: string;
  /** A tool's. */
  name?: string;
}

export interface ChatTemplate {
  readonly source: string;
  /**
   * The messages as the model was taught to read them. The text brings its own beginning-of-text token.
   * @param options.answer whether the model is to answer: the text then ends where that begins. Not so for
   * a conversation that is read whole, in training. @default true
   * @param options.tools what the model may call, as OpenAI's `tools` has it. @default none
   * @throws TemplateRefusal where the template does not take these messages.
   */
  render(
    messages: readonly ChatMessage[],
    options?: { answer?: boolean; tools?: readonly object[] | undefined },
  ): string;
}

/** The template refused the messages: a role it does not know, two of one role in a row, ... */
export class TemplateRefusal extends Error {
  override name = 'TemplateRefusal';
}

/**
 * Compiles a chat template with what transformers gives it: the special tokens by name,
 * `add_generation_prompt`, `strftime_now`, `raise_exception`.
 * @param namedTokens `bos_token`, `eos_token`, ...
 * @param now the clock behind `strftime_now`
 * @throws InvalidDataError where the source is no template.
 */
export function chatTemplate(
  source: string,
  namedTokens: Readonly<Record<string, string>>,
  now: () => Date = () => new Date(),
): ChatTemplate {
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw new InvalidDataError("The model's chat template cannot be compiled.", { cause });
  }
  return {
    source,
    render(messages, { answer = true, tools } = {}) {
      // Not Template.render: it brings a clock of its own, which knows fewer directives than Python's.
      const environment = new Environment();
      const values = {
        ...globals,
        ...namedTokens,
        messages,
        tools: tools ?? null,
        documents: null,
        add_generation_prompt: answer,
        strftime_now: (format: string) => strftime(now(), format),
      };
      for (const [name, value] of Object.entries(values)) environment.set(name, value);
      try {
        return String(new Interpreter(environment).run(template.parsed).value);
      } catch (cause) {
        throw new TemplateRefusal((cause as Error).message, { cause });
      }
    },
  };
}

/** What Jinja and transformers give to every template; constants go by both spellings. */
const globals = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  raise_exception(message: string) {
    throw new Error(message);
  },
};

/** Python's: `range(stop)` or `range(start, stop, step)`. */
function range(start: number, stop?: number, step = 1): number[] {
  if (stop === undefined) return range(0, start);
  const length = Math.max(0, Math.ceil((stop - start) / step));
  return Array.from({ length }, (_, i) => start + i * step);
}
