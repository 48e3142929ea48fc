import { GrammarError } from '../../engine/engine.ts';
import { anyCharacter, type CharacterSet, characterSet, classOf, without } from '../character-set.ts';
import { UnsupportedError } from '../errors.ts';
import { jsonCharacter } from '../json-text.ts';
import { grammarOfRegex } from '../regex.ts';
import { repeat } from '../rules.ts';
import { formats } from './formats.ts';
import { countAt, impossible, type Path, type SchemaContext, type SchemaObject, stringAt } from './schema.ts';

export const quote = '"\\""';

/** How one character of a set is written; undefined where it cannot be. */
type Spelling = (set: CharacterSet) => string | undefined;

export function stringOf(schema: SchemaObject, path: Path, context: SchemaContext): string {
  const content = contentOf(schema, path, context, jsonCharacter);
  if (content === undefined) return context.json.string;
  return context.rules.name(`${quote} ${content} ${quote}`, 'text');
}

/**
 * As `stringOf`, where a string stands as it is, without quotation marks and escapes. What has a pattern or a length is
 * on one line.
 * @returns undefined for any text
 */
export function plainStringOf(schema: SchemaObject, path: Path, context: SchemaContext): string | undefined {
  return contentOf(schema, path, context, (set) => {
    const onLine = without(set, lineEnd);
    return onLine.length > 0 ? classOf(onLine) : undefined;
  });
}

const lineEnd = characterSet([[0x0a, 0x0a]]);

/** What the string holds, where the schema says anything of it. */
function contentOf(
  schema: SchemaObject,
  path: Path,
  context: SchemaContext,
  spell: Spelling,
): string | undefined {
  const least = countAt(schema, 'minLength', path) ?? 0;
  const most = countAt(schema, 'maxLength', path);
  if (most !== undefined && least > most) throw impossible(path, `minLength is ${least}, maxLength ${most}`);
  const pattern = patternOf(schema, path, context, spell);
  if (pattern !== undefined) {
    if (least > 0 || most !== undefined) context.leaveOut(path, 'a length beside a pattern or a format');
    return pattern;
  }
  if (least === 0 && most === undefined) return undefined;
  return repeat(context.rules.name(spell(anyCharacter)!, 'character'), least, most);
}

/**
 * What the string holds, where there is more to it than a length. Whoever has a pattern beside a format, as zod does,
 * says the format by it; where no grammar can say the pattern, the format does.
 */
function patternOf(
  schema: SchemaObject,
  path: Path,
  context: SchemaContext,
  spell: Spelling,
): string | undefined {
  const pattern = stringAt(schema, 'pattern', path);
  const format = stringAt(schema, 'format', path);
  const known = format === undefined ? undefined : formats[format];
  if (pattern !== undefined) {
    const ofPattern = attempt(pattern, false, `${path}/pattern`, known ? lenient(context) : context, spell);
    if (ofPattern !== undefined || known === undefined) return ofPattern;
  }
  if (format !== undefined && known === undefined)
    context.leaveOut(path, `the format ${JSON.stringify(format)}`);
  return known === undefined ? undefined : attempt(known, true, path, context, spell);
}

/** Where there is another way to say it. */
function lenient({ rules, json, nested }: SchemaContext): SchemaContext {
  return { rules, json, nested, leaveOut: () => {} };
}

function attempt(
  pattern: string,
  whole: boolean,
  path: Path,
  context: SchemaContext,
  spell: Spelling,
): string | undefined {
  try {
    return grammarOfRegex(pattern, { rules: context.rules, spell, whole });
  } catch (error) {
    if (error instanceof UnsupportedError) context.leaveOut(path, error.message);
    else if (error instanceof GrammarError)
      throw new GrammarError(`${path}: ${error.message}`, { cause: error });
    else throw error;
    return undefined;
  }
}
