import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { NotFoundError, UsageError } from '../../artifact/errors.ts';
import type { LocalFoldedModel } from '../../artifact/models/open-local.ts';
import type { TokenizerFiles } from '../../artifact/tokenizer.ts';
import type { Quality, TextWindows } from '../../compressor/evaluate/windows.ts';
import { parseCount, parseInteger, readText } from '../fold-options.ts';
import { type Progress, progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';
import { withTransfer } from '../transfer.ts';

/** Tokens of a window where the user names none. */
const defaultWindow = 256;

interface Flags {
  text: string;
  window?: number;
  tokens?: number;
  json?: boolean;
}

export function evalCommand(): Command {
  return new Command('eval')
    .description('measure the perplexity of a folded model or a checkpoint on a text')
    .argument('<model>', 'URL of a folded model, Hugging Face folder or GGUF file')
    .requiredOption('--text <file>', 'UTF-8 text')
    .option(
      '--window <tokens>',
      `tokens that are read together (default: ${defaultWindow}, or the model's context where that is shorter)`,
      parseInteger,
    )
    .option('--tokens <count>', 'stop after this many tokens (default: the whole text)', parseCount)
    .option('--json', 'print {perplexity, nll, tokens}')
    .addHelpText(
      'after',
      `
The text is cut into windows that do not overlap; each begins as the tokenizer begins any text. Of each
window all tokens but the first are predicted. nll is their mean negative log-likelihood in nats, and
perplexity its exponential. A checkpoint runs in float32, a folded model with its own weights and kernels.

Example:
  foldgate eval file:./models/tales --text heldout.txt --json`,
    )
    .action(async (model: string, flags: Flags) => {
      if (flags.window !== undefined && flags.window < 16)
        throw new UsageError(`--window takes 16 tokens or more, not ${flags.window}.`);
      const show = progress();
      const signal = interruptSignal();
      const text = await readText(flags.text);
      const isCheckpoint = await stat(model).then(
        () => true,
        () => false,
      );
      const evaluate = isCheckpoint ? evaluateCheckpoint : evaluateModel;
      const quality = await evaluate(model, text, flags, show, signal).finally(show.finish);
      process.stdout.write(
        flags.json
          ? `${JSON.stringify({ perplexity: quality.perplexity, nll: quality.nll, tokens: quality.tokens })}\n`
          : `perplexity ${quality.perplexity.toFixed(3)} (${quality.nll.toFixed(4)} nats a token) over ` +
              `${quality.tokens} tokens in windows of ${quality.window}\n`,
      );
    });
}

async function evaluateCheckpoint(
  path: string,
  text: string,
  flags: Flags,
  show: Progress,
  signal: AbortSignal,
): Promise<Quality & { window: number }> {
  const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
  const { evaluateStudent } = await import('../../compressor/evaluate/student.ts');
  const { unfolded } = await import('../../compressor/student/planned-student.ts');
  const checkpoint = await openCheckpoint(path);
  try {
    const { contextLength } = checkpoint.architecture;
    const window = windowOf(flags, contextLength);
    const windows = await cut(await checkpoint.tokenizerFiles(), checkpoint.name, text, window, flags.tokens);
    const quality = await evaluateStudent(unfolded(checkpoint), windows, {
      onProgress: (done, total) => show.update('Evaluating, layer', done, total),
      signal,
    });
    return { ...quality, window };
  } finally {
    await checkpoint.close();
  }
}

async function evaluateModel(
  url: string,
  text: string,
  flags: Flags,
  show: Progress,
  signal: AbortSignal,
): Promise<Quality & { window: number }> {
  const { evaluateFolded } = await import('../../compressor/evaluate/folded.ts');
  const local = await fetchModel(url, signal).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error;
    throw new NotFoundError(`${error.message} There is no checkpoint at that path either.`, { cause: error });
  });
  const { manifest, graphPath, tokenizerFiles } = local;
  const window = windowOf(flags, manifest.dimensions.contextLength);
  const windows = await cut(tokenizerFiles, manifest.name, text, window, flags.tokens);
  const quality = await evaluateFolded(graphPath, manifest, windows, {
    onProgress: (done, total) => show.update('Evaluating, window', done, total),
    signal,
  });
  return { ...quality, window };
}

/** Brings the model to this machine, showing how far it is where that takes time. */
async function fetchModel(url: string, signal: AbortSignal): Promise<LocalFoldedModel> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { inspect } = await import('../../artifact/models/inspect.ts');
  const { openLocalModel } = await import('../../artifact/models/open-local.ts');
  const { store, name } = await openModelUrl(url);
  const { bytes } = await inspect(store, name, { signal });
  return withTransfer(`Fetching ${name}`, bytes, (onProgress) => openLocalModel(url, { signal, onProgress }));
}

/** @throws UsageError for a window that the model cannot see at once */
function windowOf({ window }: Flags, contextLength: number): number {
  if (window === undefined) return Math.min(defaultWindow, contextLength);
  if (window <= contextLength) return window;
  throw new UsageError(`--window ${window} is beyond the model's context of ${contextLength} tokens.`);
}

async function cut(
  files: TokenizerFiles,
  where: string,
  text: string,
  window: number,
  tokens?: number,
): Promise<TextWindows> {
  const { cutWindows } = await import('../../compressor/evaluate/windows.ts');
  const { parseTokenizer } = await import('../../artifact/tokenizer.ts');
  return cutWindows(parseTokenizer(files, where), text, window, tokens);
}
