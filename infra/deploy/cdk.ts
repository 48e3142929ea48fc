import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FoldgateError, UsageError } from '../../artifact/errors.ts';

const infra = join(import.meta.dirname, '..');

/**
 * Runs the CDK of this folder, on this terminal.
 * @throws UsageError where it is not installed; FoldgateError where it fails, which it has said why
 */
export async function runCdk(args: string[]): Promise<void> {
  const cdk = process.env.FOLDGATE_CDK || join(infra, 'node_modules/aws-cdk/bin/cdk');
  if (!existsSync(cdk))
    throw new UsageError('The packages of infra/ are not installed. Run: npm run infra:install');
  // Paths on the command line are meant from where npm was called.
  const env = { ...process.env, INIT_CWD: process.env.INIT_CWD ?? process.cwd() };
  await run(process.execPath, [cdk, ...args], { cwd: infra, env });
}

/** @throws FoldgateError where it fails */
export async function run(
  program: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<void> {
  const child = spawn(program, args, { stdio: 'inherit', ...options });
  const [code, signal] = await once(child, 'exit');
  if (code !== 0) throw new FoldgateError(`${args[1] ?? program} ended with ${code ?? signal}.`);
}

/** 0, or after saying on stderr what was wrong: 1 a failed job, 2 wrong usage. */
export async function exitCodeOf(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    if (!(error instanceof FoldgateError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** The value of `--context KEY=VALUE` (or `-c`), the last one. */
export function contextOf(args: readonly string[], key: string): string | undefined {
  let value: string | undefined;
  for (const [at, argument] of args.entries()) {
    const isNext = argument === '--context' || argument === '-c';
    const given = isNext ? args[at + 1] : /^(?:--context|-c)=(.*)$/s.exec(argument)?.[1];
    if (given?.startsWith(`${key}=`)) value = given.slice(key.length + 1);
  }
  return value;
}
