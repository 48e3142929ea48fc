import { GrammarError } from '../../engine/engine.ts';
import { anyCharacter } from '../character-set.ts';
import { UnsupportedError } from '../errors.ts';
import { jsonCharacter } from '../json-text.ts';
import { grammarOfRegex } from '../regex.ts';
import { repeat } from '../rules.ts';
import { formats } from './formats.ts';
import { countAt, impossible, type Path, type SchemaContext, type SchemaObject, stringAt } from './schema.ts';

export const quote = '"\\""';

export function stringOf(schema: SchemaObject, path: Path, context: SchemaContext): string {
  const least = countAt(schema, 'minLength', path) ?? 0;
  const most = countAt(schema, 'maxLength', path);
  if (most !== undefined && least > most) throw impossible(path, `minLength is ${least}, maxLength ${most}`);
  const pattern = patternOf(schema, path, context);
  if (pattern !== undefined) {
    if (least > 0 || most !== undefined) context.leaveOut(path, 'a length beside a pattern or a format');
    return context.rules.name(`${quote} ${pattern} ${quote}`, 'text');
  }
  if (least === 0 && most === undefined) return context.json.string;
  const character = context.rules.name(jsonCharacter(anyCharacter)!, 'character');
  return context.rules.name(`${quote} ${repeat(character, least, most)} ${quote}`, 'text');
}

/**
 * The expression between the quotation marks, where there is more to it than a length. Whoever has a pattern beside
 * a format, as zod does, says the format by it; where no grammar can say the pattern, the format does.
 */
function patternOf(schema: SchemaObject, path: Path, context: SchemaContext): string | undefined {
  const pattern = stringAt(schema, 'pattern', path);
  const format = stringAt(schema, 'format', path);
  const known = format === undefined ? undefined : formats[format];
  if (pattern !== undefined) {
    const ofPattern = attempt(pattern, false, `${path}/pattern`, known ? lenient(context) : context);
    if (ofPattern !== undefined || known === undefined) return ofPattern;
  }
  if (format !== undefined && known === undefined)
    context.leaveOut(path, `the format ${JSON.stringify(format)}`);
  return known === undefined ? undefined : attempt(known, true, path, context);
}

/** Where there is another way to say it. */
function lenient({ rules, json, nested }: SchemaContext): SchemaContext {
  return { rules, json, nested, leaveOut: () => {} };
}

function attempt(pattern: string, whole: boolean, path: Path, context: SchemaContext): string | undefined {
  try {
    return grammarOfRegex(pattern, { rules: context.rules, spell: jsonCharacter, whole });
  } catch (error) {
    if (error instanceof UnsupportedError) context.leaveOut(path, error.message);
    else if (error instanceof GrammarError)
      throw new GrammarError(`${path}: ${error.message}`, { cause: error });
    else throw error;
    return undefined;
  }
}
