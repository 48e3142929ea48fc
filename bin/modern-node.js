import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, dirname } from 'node:path';
import { cachedNode, LaunchError } from './fetch-node.js';

/**
 * The first versions of their lines that run TypeScript sources as they are and without a warning. The
 * lines between (23) are past their life.
 */
const oldest = { 22: 18, 24: 3 };

/** Signals that ask a process to end; each is passed on to the Node that took over. */
const endings =
  process.platform === 'win32' ? ['SIGINT', 'SIGTERM', 'SIGBREAK'] : ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** @param version as in `process.versions.node` */
export function isModern(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > 24 || (oldest[major] !== undefined && minor >= oldest[major]);
}

/**
 * Starts this same command again on a newer Node where the present one is too old, fetching that Node on
 * the first time.
 *
 * @returns false where the present Node will do, and the caller goes on; true where the other one has run
 *   and the exit code is set, and the caller does nothing more.
 */
export async function handedOver() {
  if (isModern(process.versions.node)) return false;
  try {
    await runOn(await cachedNode());
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    process.stderr.write(`foldgate: ${error.message}\n`);
    process.exitCode = error.exitCode;
  }
  return true;
}

/** Runs the present command line on another Node, as if that one had been called. */
async function runOn(node) {
  // First on PATH, so that the processes it starts by name find it too.
  process.env.PATH = [dirname(node), process.env.PATH].filter(Boolean).join(delimiter);
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], { stdio: 'inherit' });

  const passOn = (signal) => {
    // A terminal sends Ctrl-C to the whole process group: the child has it already, and a second one
    // would read as "stop at once".
    if (signal === 'SIGINT' && process.stdin.isTTY) return;
    child.kill(signal);
  };
  for (const signal of endings) process.on(signal, passOn);

  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('error', (cause) =>
      reject(
        new LaunchError(`${node} does not start (${cause.message}). Delete its folder and run this again.`),
      ),
    );
    child.on('exit', (...result) => resolve(result));
  });
  for (const name of endings) process.off(name, passOn);

  process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  // End the way the child did, so that whoever waits for this process sees the signal.
  if (signal !== null) process.kill(process.pid, signal);
}
