/**
 * Cuts long texts so that the slices' tokens are the whole text's tokens, and nobody has to wait while a
 * large prompt is tokenized in one go.
 *
 * A cut lies between an ASCII letter and a space that another ASCII letter follows. There, no rule of the
 * tokenizers below sees across: patterns that split words match from left to right, without looking back,
 * and none goes from a letter on to a space; Unicode normalization composes nothing with a space; and BPE
 * merges nothing across a place that no token spans. What is not known to be so is not cut.
 */
export interface SlicingRule {
  /** The space goes with neither slice: the normalizer puts one before every text. */
  dropsSpace: boolean;
}

/** The parts of tokenizer.json that decide. */
interface TokenizerJson {
  normalizer?: Step | null;
  pre_tokenizer?: Step | null;
  added_tokens?: { content: string }[];
}

interface Step {
  type: string;
  normalizers?: Step[];
  pretokenizers?: Step[];
  pattern?: { String?: string; Regex?: string };
  invert?: boolean;
  content?: string;
  prepend?: string;
  use_regex?: boolean;
}

/** SentencePiece's mark for a space. */
const mark = '▁';

/** Match words: they begin before a letter and end after one. */
const wordAlternatives = [
  ' ?\\p{L}+',
  '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+',
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+',
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*',
];

/** What else the patterns of GPT-2, Llama 3, Qwen, Tekken and their kin consist of. */
const otherAlternatives = new Set([
  ...["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "(?i:'s", "'d)"],
  ...['\\p{N}', '\\p{N}{1,3}', ' ?\\p{N}+', '\\s+(?!\\S)', '\\s+', '\\s*[\\r\\n]+'],
  ...[' ?[^\\s\\p{L}\\p{N}]+', ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*', ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*'],
]);

/**
 * @param vocabulary every token's spelling
 * @returns undefined for a tokenizer of which it is not known where its texts can be cut
 */
export function slicingRule(json: TokenizerJson, vocabulary: Iterable<string>): SlicingRule | undefined {
  const normalizers = flatten(json.normalizer, 'normalizers');
  const preTokenizers = flatten(json.pre_tokenizer, 'pretokenizers');
  const marksSpaces = normalizers.some(replacesSpaces);
  // A token of a person's own making may lie across a cut, or swallow the space beside it.
  const isHarmless = ({ content }: { content: string }) =>
    !/^[A-Za-z]|[A-Za-z]$|[A-Za-z][ ▁][A-Za-z]/.test(content);
  if (!(json.added_tokens ?? []).every(isHarmless)) return undefined;
  if (!normalizers.every(isLocal)) return undefined;

  let splitsWords = false;
  for (const step of preTokenizers) {
    if (step.type === 'ByteLevel') splitsWords ||= step.use_regex ?? true;
    else if (step.type === 'Split' && step.pattern?.Regex !== undefined && !step.invert) {
      const alternatives = step.pattern.Regex.split('|');
      const words = alternatives.filter((alternative) => wordAlternatives.includes(alternative));
      if (
        words.length + alternatives.filter((one) => otherAlternatives.has(one)).length <
        alternatives.length
      )
        return undefined;
      splitsWords ||= words.length > 0;
    } else if (step.type === 'Split' && step.pattern?.String === ' ' && marksSpaces) {
      // Gemma's: there are no spaces left.
    } else if (step.type !== 'Digits' && step.type !== 'Metaspace') return undefined;
  }
  // Without words, a whole text is one: only tokens that lie across could join what a cut parts.
  if (!splitsWords) {
    if (!marksSpaces && !preTokenizers.some(({ type }) => type === 'Metaspace')) return undefined;
    for (const token of vocabulary) if (/[A-Za-z]▁/.test(token)) return undefined;
  }
  return { dropsSpace: normalizers.some(({ type }) => type === 'Prepend') };
}

/** The text in slices of `characters` or more, up to where it can be cut next. */
export function* slicesOf(text: string, { dropsSpace }: SlicingRule, characters: number): Generator<string> {
  const border = /[A-Za-z] (?=[A-Za-z])/g;
  let start = 0;
  while (start < text.length) {
    border.lastIndex = start + characters;
    const found = border.exec(text);
    const end = found ? found.index + 1 : text.length;
    yield text.slice(start, end);
    start = found && dropsSpace ? end + 1 : end;
  }
}

function flatten(step: Step | null | undefined, inner: 'normalizers' | 'pretokenizers'): Step[] {
  if (!step) return [];
  return step.type === 'Sequence' ? (step[inner] ?? []).flatMap((one) => flatten(one, inner)) : [step];
}

function replacesSpaces({ type, pattern, content }: Step): boolean {
  return type === 'Replace' && pattern?.String === ' ' && content === mark;
}

function isLocal(step: Step): boolean {
  if (step.type === 'Prepend') return step.prepend === mark;
  return replacesSpaces(step) || ['NFC', 'NFD', 'NFKC', 'NFKD'].includes(step.type);
}
