/** A function that the model may ask to be called. */
export interface Tool {
  name: string;
  /** JSON schema of its arguments, an object. @default none */
  parameters?: unknown;
  /** Whether parameters that a grammar cannot hold are refused. */
  strict: boolean;
  /** As the request has it, for the chat template. */
  source: object;
}

/** What the parser of calls knows of a function. */
export interface CalledFunction {
  name: string;
  /** The arguments that stand as they are, where a form has each by itself. */
  texts: ReadonlySet<string>;
}

/** `none` has no tools at all; `required` calls at least one; a name calls that one. */
export type ToolChoice = 'auto' | 'required' | { name: string };

/** A part of a call, as it comes: the first one has id and name. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  name?: string;
  /** The next piece of the arguments' JSON. */
  arguments: string;
}

export interface ToolCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
}
