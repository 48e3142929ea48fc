import { GrammarError } from '../engine.ts';
import { piecesOf, type Vocabulary } from './vocabulary.ts';
import { type CompiledGrammar, type GrammarCompiler, type GrammarLibrary, loadLibrary } from './xgrammar.ts';

/** Compiled grammars that are kept, the least recently used going first: each some 100 kB to some MB. */
const keptGrammars = 32;

/** Compiles grammars for one vocabulary. Those lately used are still there. */
export class Compiler {
  readonly library: GrammarLibrary;
  readonly #compiler: GrammarCompiler;
  /** In the order of their last use. */
  readonly #compiled = new Map<string, CompiledGrammar>();
  /** Parses what has not been parsed before: an instance that may be lost. */
  #checker: GrammarLibrary | undefined;

  static async create(vocabulary: Vocabulary): Promise<Compiler> {
    const library = loadLibrary();
    // The library takes any string as C++ does, as bytes; its types know only those that are text.
    const pieces = piecesOf(vocabulary) as unknown as string[];
    const info = await library.TokenizerInfo.createTokenizerInfo(
      pieces,
      'raw',
      false,
      pieces.length,
      vocabulary.stopTokens,
    );
    // Its own cache has no limit.
    return new Compiler(library, await library.GrammarCompiler.createGrammarCompiler(info, false));
  }

  private constructor(library: GrammarLibrary, compiler: GrammarCompiler) {
    this.library = library;
    this.#compiler = compiler;
  }

  /** Whether compiling takes no time. */
  has(ebnf: string): boolean {
    return this.#compiled.has(ebnf);
  }

  /** @throws GrammarError where it is no grammar */
  async compile(ebnf: string): Promise<CompiledGrammar> {
    const compiled = this.#compiled.get(ebnf) ?? (await this.#compile(ebnf));
    this.#compiled.delete(ebnf);
    this.#compiled.set(ebnf, compiled);
    for (const [oldest, grammar] of this.#compiled) {
      if (this.#compiled.size <= keptGrammars) break;
      this.#compiled.delete(oldest);
      grammar.dispose(); // matchers hold what they need of it themselves
    }
    return compiled;
  }

  async #compile(ebnf: string): Promise<CompiledGrammar> {
    await this.#check(ebnf);
    const grammar = await this.library.Grammar.fromEBNF(ebnf);
    try {
      return await this.#compiler.compileGrammar(grammar);
    } finally {
      grammar.dispose();
    }
  }

  async #check(ebnf: string): Promise<void> {
    this.#checker ??= loadLibrary();
    const heard = listen();
    try {
      (await this.#checker.Grammar.fromEBNF(ebnf)).dispose();
    } catch (cause) {
      this.#checker = undefined;
      throw new GrammarError(`The grammar cannot be used: ${reasonOf(heard)}`, { cause });
    }
  }
}

let lines: string[] = [];

/** The library tells its reasons to the console alone, by the function it finds there when it is loaded. */
function listen(): readonly string[] {
  lines = [];
  console.error = (...values: unknown[]) => {
    lines.push(values.join(' '));
  };
  return lines;
}

/** `[FATAL] /path/file.cc:552: EBNF parser error at ...` */
function reasonOf(heard: readonly string[]): string {
  const line = heard.find((line) => line.includes('[FATAL]')) ?? '';
  return line.replace(/^.*?\.(?:cc|h):\d+: /s, '') || 'it is too large, or nested too deeply.';
}
