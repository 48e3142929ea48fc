import { expect, it } from 'vitest';
import { summaryOf } from '../../../functions/gateway/playground/page/layers.js';

it('sums up layers, those that are gone and those that run one half', () => {
  const layers = [0, 1, 3].map((source, index) => ({ index, source, block: index }));
  expect(summaryOf(layers)).toBe('3 layers, each with a block of its own; 1 removed');
  const halved = [
    ...layers.slice(0, 2),
    { index: 2, source: 3, block: 1, half: 'mlp' as const },
    { index: 3, source: 4, block: 1, half: 'mlp' as const },
    { index: 4, source: 5, block: 2, half: 'attention' as const },
  ];
  expect(summaryOf(halved)).toBe(
    '5 layers, sharing 3 blocks; 1 removed; 1 of attention alone; 2 of MLP alone',
  );
});
