/**
 * Aborted by Ctrl-C or SIGTERM, so that work in progress ends cleanly; a second Ctrl-C ends the process
 * the hard way.
 */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort(new DOMException(`Stopped by ${signal}.`, 'AbortError')));
  }
  return controller.signal;
}
