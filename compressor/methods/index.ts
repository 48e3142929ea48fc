import { angular } from './angular.ts';
import { best } from './best.ts';
import { blockpruner } from './blockpruner.ts';
import { chop } from './chop.ts';
import { crash } from './crash.ts';
import { flexigpt } from './flexigpt.ts';
import { foldgpt } from './foldgpt.ts';
import { foldgptRefilled } from './foldgpt-refilled.ts';
import { loss } from './loss.ts';
import type { FoldMethod } from './method.ts';
import { modegpt } from './modegpt.ts';
import { relaxed } from './relaxed.ts';
import { replaceme } from './replaceme.ts';
import { reverse } from './reverse.ts';
import { search } from './search.ts';
import { shortgpt } from './shortgpt.ts';
import { streamline } from './streamline.ts';
import { uniform } from './uniform.ts';

/** The methods by the name that `--method` takes. */
export const methods: Record<string, FoldMethod> = {
  best,
  foldgpt,
  'foldgpt-refilled': foldgptRefilled,
  flexigpt,
  replaceme,
  streamline,
  search,
  shortgpt,
  loss,
  blockpruner,
  angular,
  chop,
  crash,
  modegpt,
  relaxed,
  reverse,
  uniform,
};
