/** Least urgent first. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What a line says beside its message. Errors keep their stack and cause for logs that machines read. */
export type LogFields = Readonly<Record<string, unknown>> & { error?: unknown };

/** Lines about the server, to stderr. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Lines for people: the message, and what failed. Fields are for machines. */
export function textLog(level: LogLevel, write: (line: string) => void): Log {
  const at =
    (own: LogLevel) =>
    (message: string, { error }: LogFields = {}) => {
      if (logLevels.indexOf(own) < logLevels.indexOf(level)) return;
      const stack = error instanceof Error && own === 'error' ? `\n${error.stack}` : '';
      write(`${message}${stack}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
