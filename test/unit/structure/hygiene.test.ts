import { describe, expect, it } from 'vitest';
import { files, read } from './source-tree.ts';

const binary = /\.(safetensors|gguf|onnx|bin|png|npz|npy|gz|zip)$/;

/** What belongs to one machine or person, each with a text that must be found. /home/me is everybody's. */
const belongings: [what: string, pattern: RegExp, example: string][] = [
  ['home folder', /(?<![\w.])\/(?:root|(?:home|Users)\/(?!me\b|you\b)\w+)\//, 'see /home/ada/notes'],
  ['temporary folder of one machine', /(?<![\w.])\/(?:tmp|opt|srv)\/\w+\/\w+\//, 'cd /opt/models/llama/x'],
  [
    'registry host',
    /\b(?:registry\.(?:npmjs|yarnpkg)|pypi\.org|files\.pythonhosted|proxy\.golang)\b/,
    'on pypi.org',
  ],
  ['key', /\b(?:AKIA[0-9A-Z]{16}|hf_[A-Za-z]{34}|npm_[A-Za-z0-9]{36})\b/, `AKIA${'X'.repeat(16)}`],
  ['private key', /-----BEGIN [A-Z ]*PRIVATE KEY-----/, '-----BEGIN EC PRIVATE KEY-----'],
];

describe('tracked files', () => {
  it.each(belongings)('hold no %s', (_what, pattern, example) => {
    expect(example).toMatch(pattern);
    const found = files
      .filter((path) => !binary.test(path) && path !== 'test/unit/structure/hygiene.test.ts')
      .flatMap((path) => {
        const match = pattern.exec(read(path));
        return match ? [`${path}: ${match[0]}`] : [];
      });
    expect(found).toEqual([]);
  });
});
