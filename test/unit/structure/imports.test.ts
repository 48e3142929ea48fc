import { describe, expect, it } from 'vitest';
import { importsOf, isOf, read, sources, specifiersOf } from './source-tree.ts';

/** Which folders a folder's files must not reach into. `bin` starts `cli`; tests and scripts are free. */
const forbidden: Record<string, string[]> = {
  artifact: ['compressor', 'functions', 'cli'],
  charts: ['artifact', 'compressor', 'functions', 'cli'],
  compressor: ['functions', 'cli'],
  functions: ['compressor', 'cli'],
  'functions/engine': ['functions/text', 'functions/model', 'functions/gateway'],
  'functions/grammar': ['functions/text', 'functions/model', 'functions/gateway'],
  'functions/text': ['functions/engine', 'functions/model', 'functions/gateway'],
  'functions/model': ['functions/gateway'],
  'functions/gateway': ['functions/lambda'],
  'infra/aws': ['compressor', 'cli'],
  'infra/kubernetes': ['compressor', 'cli', 'infra/aws'],
  'infra/lambda': ['compressor', 'cli', 'infra/aws'],
  load: ['compressor', 'cli'],
};

/** The one file that may import each foreign runtime: to replace or upgrade one is a change in one place. */
const seams: Record<string, string> = {
  koffi: 'artifact/onnxruntime/library.ts',
  'onnxruntime-node': 'artifact/onnxruntime/library.ts',
  '@huggingface/tokenizers': 'artifact/tokenizer.ts',
  '@aws-sdk/': 'artifact/store/s3.ts',
  '@huggingface/hub': 'compressor/checkpoint/pull/hub.ts',
  '@bufbuild/protobuf': 'compressor/onnx/graph.ts',
  '@huggingface/jinja': 'artifact/chat-template.ts',
  '@hono/node-server': 'functions/gateway/serve.ts',
  '@eslint-community/regexpp': 'functions/grammar/regex.ts',
  '@mlc-ai/web-xgrammar': 'functions/engine/grammar/xgrammar.ts',
  'rate-limiter-flexible': 'functions/gateway/access/rate-counter.ts',
  '@redis/client': 'functions/gateway/access/redis.ts',
  'prom-client': 'functions/gateway/observe/prometheus-client.ts',
  pino: 'functions/gateway/observe/json-log.ts',
  '@opentelemetry/': 'functions/gateway/observe/tracing.ts',
  'd3-scale': 'charts/chart.ts',
  'd3-shape': 'charts/chart.ts',
};

/** Dependencies that are part of the language here: schemas, routes, flags. */
const vocabulary = ['commander', 'hono', 'zod'];

const product = sources.filter((path) => /^(artifact|bin|charts|cli|compressor|functions)\//.test(path));

describe('the scanner', () => {
  it('sees every way to name a module, and no comment', () => {
    const text = [
      "import a from 'a';",
      "import type { B } from './b.ts';",
      "import { c,\n  d } from 'c';",
      "export * from '../e.ts';",
      "import 'f';",
      "const g = await import('g/sub');",
      "const h = require('h');",
      "createRequire(import.meta.url).resolve('j/package.json');",
      "new Worker(new URL('./i.ts', import.meta.url));",
      " * import { x } from 'comment';",
      "// import y from 'comment';",
      "export const notAnImport = 'comment';",
    ].join('\n');
    expect(specifiersOf(text).sort()).toEqual([
      '../e.ts',
      './b.ts',
      './i.ts',
      'a',
      'c',
      'f',
      'g/sub',
      'h',
      'j/package.json',
    ]);
  });
});

describe('folders', () => {
  it.each(Object.entries(forbidden))('%s reaches into none of %s', (folder, others) => {
    const found = sources
      .filter((path) => path.startsWith(`${folder}/`))
      .flatMap((path) => importsOf(path).map((target) => ({ path, target })))
      .filter(({ target }) => others.some((other) => isOf(target, other)));
    expect(found).toEqual([]);
  });

  it('product code imports no tests', () => {
    const found = product.filter((path) => importsOf(path).some((target) => target.startsWith('test/')));
    expect(found).toEqual([]);
  });
});

describe('foreign runtimes', () => {
  it.each(Object.entries(seams))('%s is imported by %s alone', (runtime, seam) => {
    const importers = product.filter((path) => importsOf(path).some((target) => isOf(target, runtime)));
    expect(importers).toEqual([seam]);
  });

  it('are all in the table', () => {
    const dependencies = Object.keys(JSON.parse(read('package.json')).dependencies);
    const unlisted = dependencies.filter(
      (name) => !vocabulary.includes(name) && !Object.keys(seams).some((runtime) => isOf(name, runtime)),
    );
    expect(unlisted).toEqual([]);
  });
});
