import { FoldgateError } from '../../artifact/errors.ts';

/** Why a prompt cannot be run, by the names that OpenAI's clients know. */
export const promptProblems = [
  'chat_not_supported',
  'context_length_exceeded',
  'invalid_grammar',
  'invalid_messages',
  'invalid_value',
  'suffix_not_supported',
  'tools_not_supported',
] as const;
export type PromptProblem = (typeof promptProblems)[number];

/** The model cannot run this prompt, however often it is sent. */
export class PromptError extends FoldgateError {
  override name = 'PromptError';
  readonly problem: PromptProblem;
  /** The field of the request that is at fault. */
  readonly param: string;

  constructor(message: string, problem: PromptProblem, param: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.problem = problem;
    this.param = param;
  }
}

/** @param tokens the prompt's tokens, or a lower bound of them */
export function contextOverflow(tokens: number, contextLength: number, param: string): PromptError {
  return new PromptError(
    `This model's context is ${contextLength} tokens, prompt and completion together; the prompt alone has ` +
      `at least ${tokens}. Shorten it.`,
    'context_length_exceeded',
    param,
  );
}
