import { type AST, RegExpParser } from '@eslint-community/regexpp';
import { GrammarError } from '../engine/engine.ts';
import {
  anyCharacter,
  type CharacterSet,
  characterSet,
  classOf,
  complement,
  rareSpaces,
  union,
} from './character-set.ts';
import { UnsupportedError } from './errors.ts';
import { Rules, repeat } from './rules.ts';

export interface RegexOptions {
  /** Gets what the expression refers to. */
  rules: Rules;
  /** How one character of a set is written; undefined where it cannot be. @default as it is */
  spell?: (set: CharacterSet) => string | undefined;
  /** Whether the expression has to match the whole text, as if it stood between `^` and `$`. */
  whole: boolean;
}

const asItIs = (set: CharacterSet) => (set.length > 0 ? classOf(set) : undefined);

/**
 * A regular expression in JavaScript's or Python's notation, as an expression of a grammar.
 * @throws GrammarError where it is none; UnsupportedError for what no grammar can say: look-around, references
 */
export function grammarOfRegex(pattern: string, { rules, spell = asItIs, whole }: RegexOptions): string {
  const spelled = (set: CharacterSet): string => {
    const expression = spell(set);
    if (expression === undefined)
      throw new UnsupportedError(`${show(pattern)} has a class without a character.`);
    return expression;
  };
  const { alternatives } = parse(pattern);
  return rules.choice(alternatives.map(anchored), 'alternative');

  function anchored({ elements }: AST.Alternative): string {
    const [first, last] = [elements[0], elements.at(-1)];
    const isStart = first?.type === 'Assertion' && first.kind === 'start';
    const isEnd = last?.type === 'Assertion' && last.kind === 'end';
    const inner = elements.slice(isStart ? 1 : 0, isEnd ? -1 : undefined);
    const anything = `${spelled(anyCharacter)}*`;
    const parts = inner.map(element);
    if (!whole && !isStart) parts.unshift(anything);
    if (!whole && !isEnd) parts.push(anything);
    return sequence(parts);
  }

  function element(node: AST.Element): string {
    switch (node.type) {
      case 'Character':
        return spelled([[node.value, node.value]]);
      case 'CharacterSet':
        return spelled(setOf(node));
      case 'CharacterClass':
        return spelled(classSet(node));
      case 'Group':
        if (node.modifiers) throw unsupported('flags within it');
        return group(node.alternatives);
      case 'CapturingGroup':
        return group(node.alternatives);
      case 'Quantifier':
        return repeat(element(node.element), node.min, node.max === Infinity ? undefined : node.max);
      case 'Assertion':
        throw unsupported(assertions[node.kind]);
      default:
        throw unsupported(node.type === 'Backreference' ? 'a reference to a group' : 'set notation');
    }
  }

  function group(alternatives: AST.Alternative[]): string {
    const expressions = alternatives.map(({ elements }) => sequence(elements.map(element)));
    return rules.choice(expressions, 'alternative');
  }

  function classSet({ elements, negate }: AST.CharacterClass): CharacterSet {
    const set = union(
      ...elements.map((member): CharacterSet => {
        if (member.type === 'Character') return [[member.value, member.value]];
        if (member.type === 'CharacterClassRange') return [[member.min.value, member.max.value]];
        if (member.type === 'CharacterSet') return setOf(member);
        throw unsupported('set notation');
      }),
    );
    return negate ? complement(set) : set;
  }

  function setOf(node: AST.CharacterSet): CharacterSet {
    if (node.kind === 'any') return complement(lineEnds);
    if (node.kind === 'property') throw unsupported(`the Unicode property ${node.raw}`);
    return node.negate ? complement(escapes[node.kind]) : escapes[node.kind];
  }

  function unsupported(what: string): UnsupportedError {
    return new UnsupportedError(
      `The regular expression ${show(pattern)} has ${what}, which is not supported.`,
    );
  }
}

/** A grammar of the texts that the expression matches from beginning to end. */
export function grammarOfWholeRegex(pattern: string): string {
  const rules = new Rules();
  const root = rules.reserve('root');
  rules.define(root, grammarOfRegex(pattern, { rules, whole: true }));
  return rules.toString();
}

const assertions = {
  start: 'a ^ that is not at its beginning',
  end: 'a $ that is not at its end',
  word: 'a word boundary',
  lookahead: 'a look-ahead',
  lookbehind: 'a look-behind',
} as const;

const lineEnds = characterSet([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);

const escapes: Record<'digit' | 'space' | 'word', CharacterSet> = {
  digit: characterSet([[0x30, 0x39]]),
  word: characterSet([
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
  ]),
  space: union(
    characterSet([
      [0x09, 0x0d],
      [0x20, 0x20],
    ]),
    rareSpaces,
  ),
};

/** With Unicode's rules where they allow it, else with the older ones, which take `\-` and the like. */
function parse(pattern: string): AST.Pattern {
  const source = pattern.replaceAll('(?P<', '(?<');
  const parser = new RegExpParser();
  try {
    return parser.parsePattern(source, undefined, undefined, { unicode: true });
  } catch {
    try {
      return parser.parsePattern(source);
    } catch (cause) {
      const reason = (cause as Error).message.replace(/^.*\/: /s, '');
      throw new GrammarError(`${show(pattern)} is no regular expression: ${reason}.`, { cause });
    }
  }
}

function sequence(parts: readonly string[]): string {
  return parts.length === 0 ? '""' : parts.join(' ');
}

function show(pattern: string): string {
  return JSON.stringify(pattern.length > 80 ? `${pattern.slice(0, 77)}...` : pattern);
}
