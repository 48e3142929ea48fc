import { sliders } from './sliders.js';

/**
 * @typedef {'chat' | 'text'} Mode
 * @typedef {{role: 'system' | 'user' | 'assistant', content: string}} Message
 * @typedef {{path: string, body: Record<string, unknown>}} ApiRequest
 */

/**
 * @param {string} model
 * @param {readonly Message[]} messages
 * @param {import('./settings.js').Settings} settings
 * @returns {ApiRequest}
 */
export function chatRequest(model, messages, settings) {
  const system = settings.system.trim();
  /** @type {Message[]} */
  const first = system === '' ? [] : [{ role: 'system', content: system }];
  const body = { model, messages: [...first, ...messages], ...common(settings) };
  return { path: 'v1/chat/completions', body };
}

/**
 * @param {string} model
 * @param {string} prompt
 * @param {import('./settings.js').Settings} settings
 * @returns {ApiRequest}
 */
export function textRequest(model, prompt, settings) {
  return { path: 'v1/completions', body: { model, prompt, ...common(settings) } };
}

/** What the sliders show is what happens, whatever the model's own defaults are. @param {import('./settings.js').Settings} settings */
function common({ numbers, seed, stop }) {
  return {
    ...Object.fromEntries(sliders.map(({ name }) => [name, numbers[name]])),
    ...(seed !== undefined && { seed }),
    ...(stop.length > 0 && { stop }),
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
  };
}

/**
 * The request as a shell command. The key stays out of it, because commands are shared and kept; and so does what
 * only measurements need.
 * @param {string} base
 * @param {ApiRequest} request
 * @param {boolean} hasKey
 */
export function curlOf(base, { path, body: { stream_options, ...body } }, hasKey) {
  const lines = [
    `curl -N ${quoted(base + path)}`,
    `-H 'Content-Type: application/json'`,
    ...(hasKey ? ['-H "Authorization: Bearer $FOLDGATE_API_KEY"'] : []),
    `-d ${quoted(JSON.stringify(body, null, 2))}`,
  ];
  return lines.join(' \\\n  ');
}

/** For a shell: nothing within single quotes means anything but a single quote. @param {string} text */
function quoted(text) {
  return /^[\w:/.-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
