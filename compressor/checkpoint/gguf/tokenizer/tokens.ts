import type { Checkpoint } from '../../checkpoint.ts';
import type { Metadata } from '../metadata.ts';
import { kinds, specialId, vocabularyOf } from './vocabulary.ts';

/** Pieces that end a turn or a text wherever they are control tokens: files name only one of them as eos. */
const endings = new Set([
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end|>',
  '<end_of_turn>',
  '</s>',
  '<EOT>',
]);

export function tokensOf(metadata: Metadata, where: string): Checkpoint['tokens'] {
  const vocabulary = vocabularyOf(metadata, where);
  const eos = new Set<number>();
  for (const name of ['eos', 'eot', 'eom']) {
    const id = specialId(metadata, name, vocabulary);
    if (id !== undefined) eos.add(id);
  }
  for (const piece of endings) {
    const id = vocabulary.idOf.get(piece);
    if (id !== undefined && vocabulary.kinds[id] === kinds.control) eos.add(id);
  }
  return {
    bos: specialId(metadata, 'bos', vocabulary),
    eos: [...eos],
    chatTemplate: metadata.string('tokenizer.chat_template'),
  };
}
