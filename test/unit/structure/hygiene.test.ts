import { describe, expect, it } from 'vitest';
import { files, read } from './source-tree.ts';

const binary = /\.(safetensors|gguf|onnx|bin|png|npz|npy|gz|zip)$/;

/** What belongs to one machine. Each pattern is written so that it does not match itself. */
const private_ = {
  'a home folder': /(?<![\w.])\/(?:root|home\/\w+|Users\/\w+)\//,
  'a workplace folder': /(?<![\w.])\/(?:work|opt\/(?:pt|node24)|tmp\/models)\//,
  'a registry host': /\b(?:registry\.(?:npmjs|yarnpkg)|pypi\.org|files\.pythonhosted|proxy\.golang)\b/,
  'a secret': /\b(?:AKIA[0-9A-Z]{16}|hf_[A-Za-z]{34}|npm_[A-Za-z0-9]{36}|-----BEGIN [A-Z ]*PRIVATE KEY-----)/,
};

describe('tracked files', () => {
  it.each(Object.entries(private_))('hold no %s', (_what, pattern) => {
    const found = files
      .filter((path) => !binary.test(path) && !path.startsWith('test/unit/structure/'))
      .flatMap((path) => {
        const match = pattern.exec(read(path));
        return match ? [`${path}: ${match[0]}`] : [];
      });
    expect(found).toEqual([]);
  });
});
