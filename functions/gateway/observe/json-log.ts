import { pino } from 'pino';
import type { Log, LogFields, LogLevel } from './log.ts';

/** Bytes of lines that nobody reads; further ones are dropped rather than kept in memory. */
const maxBacklogBytes = 1024 * 1024;

/** One JSON object a line. Writing does not wait: a reader that hangs must not hold up requests. */
export function jsonLog(level: LogLevel, fileDescriptor: number): Log {
  const destination = pino.destination({ dest: fileDescriptor, sync: false, maxLength: maxBacklogBytes });
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    destination,
  );
  const at =
    (own: Exclude<LogLevel, 'silent'>) =>
    (message: string, fields: LogFields = {}) =>
      logger[own](fields, message);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
