import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

export interface Finished {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  finished: Promise<Finished>;
  /** Resolves with the match once stdout or stderr has it; rejects when the process ends without. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
}

export interface StartOptions {
  cwd?: string;
  /** Instead of this process's own environment. */
  env?: NodeJS.ProcessEnv;
  /** Gives the process a group of its own, so that all it starts can be ended together. */
  detached?: boolean;
}

/** Starts a program and collects what it prints. */
export function start(command: string, args: string[], options: StartOptions = {}): Running {
  const child = spawn(command, args, { cwd: root, ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      for (const listener of listeners) listener();
    });
  }
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...output }));
  });
  const says = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(output.stdout) ?? pattern.exec(output.stderr);
        if (match === null) return;
        listeners.delete(look);
        resolve(match);
      };
      listeners.add(look);
      look();
      finished.then((end) => reject(new Error(`ended without ${pattern}: ${JSON.stringify(end)}`)), reject);
    });
  return { child, finished, says };
}

export function run(command: string, args: string[], options?: StartOptions): Promise<Finished> {
  return start(command, args, options).finished;
}

/** Runs a program that must succeed. @returns what it printed; throws with all of its output otherwise. */
export async function succeed(command: string, args: string[], options?: StartOptions): Promise<Finished> {
  const end = await run(command, args, options);
  if (end.code === 0) return end;
  const how = end.signal ?? `exit code ${end.code}`;
  throw new Error(`${[command, ...args].join(' ')}: ${how}\n${end.stdout}${end.stderr}`);
}

/** A Node that the launcher must replace: `FOLDGATE_OLD_NODE`, else the first such on PATH. */
export function findOldNode(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'node'));
  return [process.env.FOLDGATE_OLD_NODE, ...onPath].find((node) => node !== undefined && isOld(node));
}

function isOld(node: string): boolean {
  if (!existsSync(node)) return false;
  const version = execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' });
  const [major, minor] = version.split('.').map(Number) as [number, number];
  return major >= 18 && (major < 22 || (major === 22 && minor < 18));
}

/** This process's environment as a shell with `node` first on PATH would have it, outside of npm and Vitest. */
export function environmentOf(node: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|VITEST|VITE_|NODE_(ENV|OPTIONS|PATH)$)/.test(name),
  );
  const path = [dirname(node), process.env.PATH].join(delimiter);
  return { ...Object.fromEntries(kept), PATH: path, ...extra };
}

/** A port that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
