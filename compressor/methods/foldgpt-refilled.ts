import { foldgpt } from './foldgpt.ts';
import type { FoldMethod } from './method.ts';

export const foldgptRefilled: FoldMethod = {
  ...foldgpt,
  summary: 'foldgpt, whose removed layers come back with a kept block behind gains that the cure opens',
  source: `${foldgpt.source}; re-used blocks with low-rank matrices: FlexiGPT, arXiv 2501.14713`,
  refill: 'previous',
  adapter: 'gain+lora:16',
};
