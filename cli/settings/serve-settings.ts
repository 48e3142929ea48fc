import { z } from 'zod';
import { cacheTypes } from '../../artifact/decoder/decoder-options.ts';
import { promptWeightChoices } from '../../artifact/decoder/prompt-weights.ts';
import { modelNamePattern } from '../../artifact/manifest.ts';
import { logLevels } from '../../functions/gateway/observe/log.ts';
import {
  bytes,
  count,
  duration,
  list,
  oneOf,
  onOff,
  port,
  type Setting,
  type Settings,
  text,
  whole,
} from './setting.ts';

/** `ALIAS=NAME` or `NAME`. An alias may be anything that requests can say: `org/model`. */
const servedModel = z.string({ error: 'NAME or ALIAS=NAME is expected' }).transform((value, context) => {
  const [id = '', name = id, ...rest] = value.split('=');
  if (id !== '' && rest.length === 0 && modelNamePattern.test(name)) return { id, name };
  context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is neither NAME nor ALIAS=NAME` });
  return z.NEVER;
});

/** `NAME` or `MODEL=NAME`. */
const draftModel = z.string({ error: 'NAME or MODEL=NAME is expected' }).transform((value, context) => {
  const [first = '', second, ...rest] = value.split('=');
  const [model, name] = second === undefined ? [undefined, first] : [first, second];
  const isName = (text: string) => modelNamePattern.test(text);
  if (rest.length === 0 && isName(name) && (model === undefined || isName(model))) return { model, name };
  context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is neither NAME nor MODEL=NAME` });
  return z.NEVER;
});

const redisUrl = z
  .string()
  .refine((value) => URL.canParse(value) && /^rediss?:$/.test(new URL(value).protocol), {
    error: 'redis://HOST:PORT or rediss://HOST:PORT is expected',
  });

const webUrl = z.string().refine((value) => /^https?:/.test(value) && URL.canParse(value), {
  error: 'http://HOST:PORT is expected',
});

const origin = z
  .string()
  .refine((value) => value === '*' || (URL.canParse(value) && new URL(value).origin === value), {
    error: 'an origin such as https://example.org is expected, without a path, or *',
  });

const setting = <T extends z.ZodType>(setting: Setting<T>) => setting;

export const serveSettings = {
  store: setting({
    flag: '--store <url>',
    help: 'where the models are: file:FOLDER, a plain path, or s3://BUCKET/PREFIX',
    schema: text,
  }),
  model: setting({
    flag: '--model <name>',
    help: 'which one; again for several; ALIAS=NAME to serve it by another name (default: all in the store)',
    schema: list(servedModel).optional(),
    isList: true,
  }),
  draft: setting({
    flag: '--draft <name>',
    help:
      "a model of the same checkpoint in the store, folded further, that guesses a lone request's next tokens where " +
      'that pays; MODEL=NAME for one of several models, by their names in the store (default: none)',
    schema: list(draftModel).optional(),
    isList: true,
  }),
  memory: setting({
    flag: '--memory <bytes>',
    help: 'what loaded models may take together; the least recently used go (default: no limit)',
    schema: bytes.optional(),
  }),
  preload: setting({
    flag: '--preload',
    help: 'load all models at the start, not when they are asked for',
    schema: onOff,
    default: false,
  }),
  refresh: setting({
    flag: '--refresh <time>',
    help: 'how often to look for new versions; 0s for never',
    schema: duration,
    default: '30s',
  }),
  host: setting({
    flag: '--host <address>',
    help: 'address to listen on; 0.0.0.0 to be reached from other machines',
    schema: text,
    default: '127.0.0.1',
  }),
  port: setting({
    flag: '--port <number>',
    help: 'port to listen on, 0 for a free one',
    schema: port,
    default: 8080,
    variables: ['PORT'],
  }),
  apiKeys: setting({
    flag: '--api-keys <file>',
    help: 'ask for one of the keys in this file, which "foldgate keys" makes; or one key a line',
    schema: text.optional(),
  }),
  apiKey: setting({
    help: 'keys themselves, for containers; command lines are seen by others',
    schema: list(text).optional(),
    isSecret: true,
  }),
  requestsPerMinute: setting({
    flag: '--requests-per-minute <count>',
    help: 'requests of each key, unless it has a limit of its own (default: no limit)',
    schema: count.optional(),
  }),
  tokensPerMinute: setting({
    flag: '--tokens-per-minute <count>',
    help: 'tokens of each key, prompts and completions together (default: no limit)',
    schema: count.optional(),
  }),
  redis: setting({
    flag: '--redis <url>',
    help: 'count for the limits there, together with other servers: redis://HOST:6379; needs the package @redis/client',
    schema: redisUrl.optional(),
    isSecret: true,
  }),
  cors: setting({
    flag: '--cors <origin>',
    help: 'let pages of this origin ask, as in https://example.org; again for several; * for any',
    schema: list(origin).optional(),
    isList: true,
  }),
  maxBody: setting({
    flag: '--max-body <bytes>',
    help: 'size of a request',
    schema: bytes,
    default: '4MB',
  }),
  maxPrompt: setting({
    flag: '--max-prompt <tokens>',
    help: "length of a prompt (default: the model's context)",
    schema: count.optional(),
  }),
  deadline: setting({
    flag: '--deadline <time>',
    help: 'time in which a request is answered or stopped (default: no limit)',
    schema: duration.optional(),
  }),
  queue: setting({
    flag: '--queue <count>',
    help: 'completions that may wait for a slot of a model; further requests get 429',
    schema: whole(0, 1_000_000, 'a whole number'),
    default: 256,
  }),
  drain: setting({
    flag: '--drain <time>',
    help: 'time for running requests to end when the server is told to stop',
    schema: duration,
    default: '30s',
  }),
  logFormat: setting({
    flag: '--log-format <how>',
    help: 'text for people, json for machines, auto for text on a terminal alone',
    schema: oneOf(['auto', 'text', 'json']),
    default: 'auto',
  }),
  logLevel: setting({
    flag: '--log-level <level>',
    help: `least level of a line: ${logLevels.join(', ')}`,
    schema: oneOf(logLevels),
    default: 'info',
  }),
  logPrompts: setting({
    flag: '--log-prompts',
    help: 'write what was asked and answered into the JSON log too',
    schema: onOff,
    default: false,
  }),
  traces: setting({
    flag: '--traces <url>',
    help: 'send OpenTelemetry traces to this collector (OTLP over HTTP), as in http://HOST:4318',
    schema: webUrl.optional(),
  }),
  slots: setting({
    flag: '--slots <count>',
    help: 'sequences that each model runs at once; others wait',
    schema: count,
    default: 8,
  }),
  prefixCache: setting({
    flag: '--prefix-cache <bytes>',
    help: 'memory for prompts read before, for those that begin alike; 0 for none',
    schema: bytes,
    default: '128MB',
  }),
  storedPrefixes: setting({
    flag: '--no-stored-prefixes',
    help: 'do not use the prefixes that "foldgate prefixes" put into the store',
    schema: onOff,
    default: true,
  }),
  kvCache: setting({
    flag: '--kv-cache <type>',
    help:
      'what keys and values are kept in: float32, or int8 for a quarter of the memory, where a model was folded with ' +
      'scales for it',
    schema: oneOf(cacheTypes),
    default: 'float32',
  }),
  promptWeights: setting({
    flag: '--prompt-weights <what>',
    help:
      'what prompts are read with: int8 weights of their own, 1.5 times as fast for a byte a block weight more memory, the ' +
      'weights of the answers (same), or the former where a model was folded with them (auto)',
    schema: oneOf(promptWeightChoices),
    default: 'auto',
  }),
  context: setting({
    flag: '--context <tokens>',
    help: "prompt and completion together (default: the model's own)",
    schema: count.optional(),
  }),
  threads: setting({
    flag: '--threads <count>',
    help: 'threads of each model (default: the cores there are)',
    schema: count.optional(),
  }),
  spinning: setting({
    flag: '--no-spinning',
    help: 'let idle threads sleep: slower, but leaves the cores to others',
    schema: onOff,
    default: true,
  }),
  speculation: setting({
    flag: '--no-speculation',
    help: "do not guess a lone request's next tokens from its own text",
    schema: onOff,
    default: true,
  }),
  cache: setting({
    flag: '--cache <folder>',
    help: 'where blobs are kept (default: ~/.cache/foldgate)',
    schema: text.optional(),
  }),
  cacheSize: setting({
    flag: '--cache-size <bytes>',
    help: 'of those kept, remove the least recently used beyond this: 500MB, 10GB (default: no limit)',
    schema: bytes.optional(),
  }),
} as const;

/** What `foldgate start` takes as well: it knows by itself which model to serve. */
const { store: _, model: __, draft: ___, ...others } = serveSettings;
export const serverSettings = others;

export type ServerSettings = Settings<typeof serverSettings>;
export type ServeSettings = Settings<typeof serveSettings>;

/** What is wrong with settings that are right one by one. */
export function checkServeSettings({ draft, speculation }: ServeSettings): string[] {
  return draft && !speculation ? ['--draft and --no-speculation exclude each other'] : [];
}

/** The model that drafts for another. What is said of one counts more than what is said of all, itself excepted. */
export function draftOf(draft: ServeSettings['draft'] = [], name: string): string | undefined {
  const own = draft.find(({ model }) => model === name);
  return (own ?? draft.find((one) => one.model === undefined && one.name !== name))?.name;
}
