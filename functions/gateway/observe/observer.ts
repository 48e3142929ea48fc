import type { RequestRecord } from './request-record.ts';

/** Something that is told of requests: metrics, the log, traces. */
export interface RequestObserver {
  /** A request came. @returns who is told how it goes on */
  begin?(request: RequestHead): RequestSpan;
  /** A request is over. */
  end?(record: RequestRecord): void;
  /** Milliseconds that a stream's reader waited for each of so many tokens. */
  tokens?(model: string, ms: number, tokens: number): void;
}

export interface RequestHead {
  requestId: string;
  method: string;
  route: string;
  header(name: string): string | undefined;
}

export interface RequestSpan {
  end(record: RequestRecord): void;
}
