import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction, constants } from 'node:vm';
import type * as XGrammar from '@mlc-ai/web-xgrammar';

/** The only door to XGrammar, which says what tokens a grammar allows next. */
export type GrammarLibrary = Pick<
  typeof XGrammar,
  'Grammar' | 'GrammarCompiler' | 'GrammarMatcher' | 'TokenizerInfo'
>;

export type CompiledGrammar = XGrammar.CompiledGrammar;
export type GrammarCompiler = XGrammar.GrammarCompiler;
export type GrammarMatcher = XGrammar.GrammarMatcher;

/**
 * A new instance of the library, with memory of its own. It was built without C++ exceptions: whatever it does
 * not like aborts the instance, which must not be used again. The reason goes to `console.error`.
 *
 * Its package says that it is an ES module, but its one file is for CommonJS: it is run as such here.
 */
export function loadLibrary(): GrammarLibrary {
  const file = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const run = compileFunction(readFileSync(file, 'utf8'), ['exports', 'module', 'require', '__filename'], {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const module = { exports: {} };
  run(module.exports, module, createRequire(file), file);
  return module.exports as GrammarLibrary;
}
