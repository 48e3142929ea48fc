const messages = [{ role: 'user', content: 'Tell me of a fox.' }];

/** A request that each endpoint takes, where the model is named `MODEL`. */
export const examples: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { model: 'MODEL', messages, max_tokens: 100, stream: true },
  '/v1/completions': { model: 'MODEL', prompt: 'Once upon a time', max_tokens: 100, stream: true },
  '/v1/responses': { model: 'MODEL', input: 'Tell me of a fox.', max_output_tokens: 100, stream: true },
  '/v1/messages': { model: 'MODEL', messages, max_tokens: 100, stream: true },
  '/v1/messages/count_tokens': { model: 'MODEL', messages },
  '/v1/responses/input_tokens': { model: 'MODEL', input: 'Tell me of a fox.' },
  '/v1/embeddings': { model: 'MODEL', input: 'A fox.' },
  '/apply-template': { model: 'MODEL', messages },
  '/tokenize': { model: 'MODEL', content: 'Once upon a time', with_pieces: true },
  '/detokenize': { model: 'MODEL', tokens: [1, 2, 3] },
};
