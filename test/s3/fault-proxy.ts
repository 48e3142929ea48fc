import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What happens to one request on its way to the server. */
export type Fault =
  /** The answer's connection breaks, or just goes silent, after so many bytes of its body. */
  | { kind: 'cut' | 'stall'; after: number }
  /** The server does as asked, but its answer is lost. */
  | { kind: 'lose' }
  /** The answer comes so many milliseconds later. */
  | { kind: 'late'; ms: number }
  /** The server is not asked. */
  | { kind: 'status'; code: number };

export interface SeenRequest {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingMessage['headers'];
}

/** Stands between client and server, and breaks what it is told to. */
export class FaultProxy implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** Asked for every request; undefined lets it pass. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  readonly #server: Server;
  readonly #target: URL;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((request, response) => this.#handle(request, response));
  }

  static async start(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #handle(incoming: IncomingMessage, answer: ServerResponse): void {
    const { method = '', url = '', headers } = incoming;
    const seen = { method, url, headers };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault?.kind === 'status') {
      incoming.resume();
      answer.writeHead(fault.code).end();
      return;
    }
    // The client's own Host header goes along: it is part of what was signed.
    const { hostname, port } = this.#target;
    const outgoing = request({ hostname, port, method, path: url, headers, agent: false });
    outgoing.on('error', () => answer.destroy());
    answer.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
    outgoing.on('response', (response) => {
      response.on('error', () => answer.destroy());
      if (fault?.kind === 'lose') {
        response.resume().on('end', () => answer.destroy());
        return;
      }
      if (fault?.kind === 'late') {
        setTimeout(() => {
          if (!answer.destroyed)
            response.pipe(answer.writeHead(response.statusCode ?? 502, response.headers));
        }, fault.ms);
        return;
      }
      answer.writeHead(response.statusCode ?? 502, response.headers);
      if (fault === undefined) response.pipe(answer);
      else passSome(response, answer, fault);
    });
  }
}

function passSome(
  response: IncomingMessage,
  answer: ServerResponse,
  fault: { kind: 'cut' | 'stall'; after: number },
): void {
  let left = fault.after;
  answer.flushHeaders();
  response.on('data', (chunk: Buffer) => {
    if (left <= 0) return;
    const part = chunk.subarray(0, left);
    left -= part.length;
    answer.write(part, () => {
      if (left <= 0 && fault.kind === 'cut') answer.destroy();
    });
  });
  if (left <= 0 && fault.kind === 'cut') answer.destroy();
}
