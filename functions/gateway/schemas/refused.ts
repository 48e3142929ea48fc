import { ApiError } from '../errors.ts';

/**
 * Parameters of OpenAI's that change the answer and that this gateway does not have. A value that asks for
 * nothing passes, since clients send defaults; any other is refused by name rather than ignored.
 */
export const harmless = {
  absent: () => false,
  empty: (value: unknown) => typeof value === 'object' && Object.keys(value as object).length === 0,
  none: (value: unknown) => value === 'none' || value === 'auto',
  textFormat: (value: unknown) => ((value as { type?: unknown } | undefined)?.type ?? 'text') === 'text',
  textOnly: (value: unknown) => Array.isArray(value) && value.every((modality) => modality === 'text'),
};

export type Refusals = Readonly<Record<string, (value: unknown) => boolean>>;

export const refusedInCompletions: Refusals = {};

export const refusedInChat: Refusals = {
  functions: harmless.empty,
  function_call: harmless.none,
  modalities: harmless.textOnly,
  audio: harmless.absent,
  prediction: harmless.absent,
  web_search_options: harmless.absent,
};

/** What to do instead, where that is not to leave it out. */
const hints: Readonly<Record<string, string>> = {
  previous_response_id: 'It keeps no responses: send the whole conversation as input.',
  conversation: 'It keeps no conversations: send the whole of it as input.',
  store: 'It keeps no responses: leave it out, or send false.',
};

/** @throws ApiError 400 naming the first parameter that is not supported. */
export function refuseUnsupported(body: Record<string, unknown>, refusals: Refusals): void {
  for (const [param, isHarmless] of Object.entries(refusals)) {
    const value = body[param];
    if (value === undefined || value === null || isHarmless(value)) continue;
    throw new ApiError(400, `${param} is not supported by this server. ${hints[param] ?? 'Leave it out.'}`, {
      param,
      code: 'unsupported_parameter',
    });
  }
}
