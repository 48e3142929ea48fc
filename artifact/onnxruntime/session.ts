import { availableParallelism } from 'node:os';
import { appendCuda, created, type Handle, library } from './library.ts';
import type { Tensor } from './tensor.ts';

export interface SessionOptions {
  /**
   * Runs on the threads that the process's sessions share (see `library`), whatever the next two say: so sessions that
   * take turns do not spin against each other. @default false
   */
  sharedThreads?: boolean;
  /** @default the cores this process may use */
  threads?: number;
  /**
   * Keeps idle threads spinning for the next operator: 1.4x faster decoding on cores of one's own.
   * @default true
   */
  spinning?: boolean;
  /** Runs what it can on this CUDA device; what is bound stays in the process's memory. @default on the CPU alone */
  cuda?: number;
  /** Further entries of the runtime's session configuration. */
  config?: Record<string, string>;
}

const allOptimizations = 99;

/** A loaded model. Runs block the thread that asks for them: a server does so in a worker thread. */
export class Session implements Disposable {
  readonly #handle: Handle;
  #released = false;

  /**
   * @param model a path, so that external data beside it is memory-mapped; or, for small graphs whose
   * weights are inputs, the bytes
   * @throws FoldgateError with the runtime's message where it is no model, or has no such device
   */
  constructor(model: string | Uint8Array, options: SessionOptions = {}) {
    const { call, release, environment } = library();
    const sessionOptions = created((out) => call.CreateSessionOptions(out));
    try {
      if (options.sharedThreads) call.DisablePerSessionThreads(sessionOptions);
      else call.SetIntraOpNumThreads(sessionOptions, options.threads ?? availableParallelism());
      call.SetInterOpNumThreads(sessionOptions, 1);
      call.SetSessionGraphOptimizationLevel(sessionOptions, allOptimizations);
      call.SetSessionLogSeverityLevel(sessionOptions, 3);
      const config = {
        'session.intra_op.allow_spinning': (options.spinning ?? true) ? '1' : '0',
        ...options.config,
      };
      for (const [key, value] of Object.entries(config))
        call.AddSessionConfigEntry(sessionOptions, key, value);
      if (options.cuda !== undefined) appendCuda(sessionOptions, options.cuda);
      this.#handle = created((out) =>
        typeof model === 'string'
          ? call.CreateSession(environment, systemPath(model), sessionOptions, out)
          : call.CreateSessionFromArray(environment, model, model.byteLength, sessionOptions, out),
      );
    } finally {
      release.SessionOptions(sessionOptions);
    }
  }

  /** Ties inputs and outputs to memory; the same binding serves any number of runs. */
  bind(inputs: Record<string, Tensor>, outputs: Record<string, Tensor>): Binding {
    return new Binding(this.#handle, inputs, outputs);
  }

  /** One run with bindings of its own. Results are found in the output tensors. */
  run(inputs: Record<string, Tensor>, outputs: Record<string, Tensor>): void {
    const binding = this.bind(inputs, outputs);
    try {
      binding.run();
    } finally {
      binding[Symbol.dispose]();
    }
  }

  /** Frees the model. Its bindings must not run any more. */
  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    library().release.Session(this.#handle);
  }
}

/** Inputs and outputs tied to memory. */
export class Binding implements Disposable {
  readonly #session: Handle;
  readonly #handle: Handle;
  /** Bound tensors stay alive with the binding. */
  readonly #tensors = new Map<string, Tensor>();
  #released = false;

  constructor(session: Handle, inputs: Record<string, Tensor>, outputs: Record<string, Tensor>) {
    const { call } = library();
    this.#session = session;
    this.#handle = created((out) => call.CreateIoBinding(session, out));
    try {
      for (const [name, tensor] of Object.entries(inputs)) this.input(name, tensor);
      for (const [name, tensor] of Object.entries(outputs)) this.output(name, tensor);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Ties an input to other memory. */
  input(name: string, tensor: Tensor): void {
    library().call.BindInput(this.#handle, name, tensor.handle);
    this.#tensors.set(name, tensor);
  }

  output(name: string, tensor: Tensor): void {
    library().call.BindOutput(this.#handle, name, tensor.handle);
    this.#tensors.set(name, tensor);
  }

  run(): void {
    library().call.RunWithBinding(this.#session, null, this.#handle);
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    library().release.IoBinding(this.#handle);
  }
}

/** Paths are UTF-8 to the runtime, on Windows UTF-16; both end with a zero. */
function systemPath(path: string): Uint8Array {
  return Buffer.from(`${path}\0`, process.platform === 'win32' ? 'utf16le' : 'utf8');
}
