import { InvalidDataError } from '../../artifact/errors.ts';
import { readText } from '../calibration-texts.ts';

/** The prompts of a file: one a line, or JSON lines with a `prompt` where the file's name ends in `.jsonl`. */
export async function readPrompts(path: string): Promise<string[]> {
  const lines = (await readText(path)).replace(/^\uFEFF/, '').split(/\r?\n/);
  const prompts = lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    return [path.endsWith('.jsonl') ? promptOf(line, `${path}, line ${i + 1}`) : line];
  });
  if (prompts.length > 0) return prompts;
  throw new InvalidDataError(`${path} holds no prompts: one a line is expected.`);
}

function promptOf(line: string, where: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new InvalidDataError(
      `${where}: a JSON object with the field prompt was expected, this is no JSON.`,
      {
        cause,
      },
    );
  }
  const { prompt } = (value ?? {}) as { prompt?: unknown };
  if (typeof prompt === 'string' && prompt !== '') return prompt;
  throw new InvalidDataError(
    `${where}: prompt should be a text that is not empty, not ${JSON.stringify(prompt) ?? 'missing'}.`,
  );
}
