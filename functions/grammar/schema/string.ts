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

/** The expression between the quotation marks, where there is more to it than a length. */
function patternOf(schema: SchemaObject, path: Path, context: SchemaContext): string | undefined {
  const pattern = stringAt(schema, 'pattern', path);
  const format = stringAt(schema, 'format', path);
  if (pattern !== undefined) {
    if (format !== undefined) context.leaveOut(path, 'a format beside a pattern');
    return attempt(pattern, false, `${path}/pattern`, context);
  }
  if (format === undefined) return undefined;
  const known = formats[format];
  if (known === undefined) context.leaveOut(path, `the format ${JSON.stringify(format)}`);
  return known === undefined ? undefined : attempt(known, true, path, context);
}

function attempt(pattern: string, whole: boolean, path: Path, context: SchemaContext): string | undefined {
  try {
    return grammarOfRegex(pattern, { spell: jsonCharacter, whole });
  } catch (error) {
    if (error instanceof UnsupportedError) context.leaveOut(path, error.message);
    else if (error instanceof GrammarError)
      throw new GrammarError(`${path}: ${error.message}`, { cause: error });
    else throw error;
    return undefined;
  }
}
