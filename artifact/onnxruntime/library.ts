/**
 * The only door to ONNX Runtime: its C interface, called in the shared library that the onnxruntime-node
 * package brings. That package's own binding copies every output into new memory at every run, the whole
 * KV cache among them (a 135M model with 2,048 positions: 100 MB a token), and converts each of some 120
 * tensors anew; the C interface binds memory once.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { FoldgateError } from '../errors.ts';

/** A pointer to something of the runtime's. */
export type Handle = bigint | object;

/** The version of the interface the ordinals below are taken from; later libraries keep it. */
const apiVersion = 17;
const logErrors = 3;

/** Place in the interface's table of functions, and the parameters; every one returns a status. */
const functions = {
  CreateSession: [7, ['void *', 'void *', 'void *', '_Out_ void **']],
  CreateSessionFromArray: [8, ['void *', 'void *', 'size_t', 'void *', '_Out_ void **']],
  CreateSessionOptions: [10, ['_Out_ void **']],
  SetSessionLogSeverityLevel: [22, ['void *', 'int']],
  SetSessionGraphOptimizationLevel: [23, ['void *', 'int']],
  SetIntraOpNumThreads: [24, ['void *', 'int']],
  SetInterOpNumThreads: [25, ['void *', 'int']],
  CreateTensorWithDataAsOrtValue: [
    49,
    ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', '_Out_ void **'],
  ],
  CreateCpuMemoryInfo: [69, ['int', 'int', '_Out_ void **']],
  CreateEnvWithGlobalThreadPools: [119, ['int', 'str', 'void *', '_Out_ void **']],
  DisablePerSessionThreads: [120, ['void *']],
  CreateThreadingOptions: [121, ['_Out_ void **']],
  AddSessionConfigEntry: [130, ['void *', 'str', 'str']],
  RunWithBinding: [133, ['void *', 'void *', 'void *']],
  CreateIoBinding: [134, ['void *', '_Out_ void **']],
  BindInput: [136, ['void *', 'str', 'void *']],
  BindOutput: [137, ['void *', 'str', 'void *']],
  SetGlobalIntraOpNumThreads: [147, ['void *', 'int']],
  SetGlobalInterOpNumThreads: [148, ['void *', 'int']],
  SetGlobalSpinControl: [149, ['void *', 'int']],
} as const;

const releases = {
  Status: 93,
  Session: 95,
  Value: 96,
  SessionOptions: 100,
  ThreadingOptions: 122,
  IoBinding: 135,
} as const;

const errorMessageOrdinal = 2;

type Call = (...args: unknown[]) => void;

interface Library {
  /** Calls that throw a FoldgateError where the runtime reports one. */
  call: Record<keyof typeof functions, Call>;
  release: Record<keyof typeof releases, (handle: Handle) => void>;
  environment: Handle;
  cpuMemory: Handle;
  /** Makes a function that returns a status one that throws. */
  checked(name: string, native: (...args: unknown[]) => unknown): Call;
  /** Held on to: koffi unloads a library that only pointers into it still refer to. */
  file: ReturnType<typeof koffi.load>;
}

let loaded: Library | undefined;

/** The threads that sessions share who have none of their own. */
export interface SharedThreads {
  /** @default the cores this process may use */
  threads?: number | undefined;
  /** Idle ones spin for the next operator. @default true */
  spinning?: boolean | undefined;
}

/** Loads the library once per thread. @param shared the runtime takes those of the process's first call */
export function library(shared: SharedThreads = {}): Library {
  loaded ??= load(shared);
  return loaded;
}

function load(shared: SharedThreads): Library {
  const file = koffi.load(libraryPath());
  const base = file.func('void *OrtGetApiBase()')();
  // struct OrtApiBase { const OrtApi *(*GetApi)(uint32_t version); ... }
  const getApi = koffi.decode(base, 'void *');
  const api = koffi.call(getApi, koffi.proto('void *OrtGetApi(uint32_t version)'), apiVersion);
  if (!api)
    throw new FoldgateError(`ONNX Runtime has no interface of version ${apiVersion}: run npm ci again.`);
  const pointer = (ordinal: number) => koffi.decode(api, ordinal * koffi.sizeof('void *'), 'void *');
  const errorMessage = bind(pointer(errorMessageOrdinal), 'str', ['void *']);
  const release = Object.fromEntries(
    Object.entries(releases).map(([name, ordinal]) => [name, bind(pointer(ordinal), 'void', ['void *'])]),
  ) as Library['release'];
  const checked: Library['checked'] =
    (name, native) =>
    (...args) => {
      const status = native(...args);
      if (!status) return;
      const message = errorMessage(status) as string;
      release.Status(status as Handle);
      throw new FoldgateError(`ONNX Runtime, ${name}: ${message}`);
    };
  const call = Object.fromEntries(
    Object.entries(functions).map(([name, [ordinal, parameters]]) => [
      name,
      checked(name, bind(pointer(ordinal), 'void *', [...parameters])),
    ]),
  ) as Library['call'];
  const environment = createEnvironment(call, release, shared);
  const cpuMemory = created((out) => call.CreateCpuMemoryInfo(0, 0, out)); // device allocator, default memory
  return { call, release, environment, cpuMemory, checked, file };
}

/** @returns undefined where the library has no such function */
function exported(file: ReturnType<typeof koffi.load>, prototype: string): SystemFunction | undefined {
  try {
    return file.func(prototype) as SystemFunction;
  } catch {
    return undefined;
  }
}

function createEnvironment(
  call: Library['call'],
  release: Library['release'],
  { threads = availableParallelism(), spinning = true }: SharedThreads,
): Handle {
  const options = created((out) => call.CreateThreadingOptions(out));
  try {
    call.SetGlobalIntraOpNumThreads(options, threads);
    call.SetGlobalInterOpNumThreads(options, 1);
    call.SetGlobalSpinControl(options, spinning ? 1 : 0);
    return created((out) => call.CreateEnvWithGlobalThreadPools(logErrors, 'foldgate', options, out));
  } finally {
    release.ThreadingOptions(options);
  }
}

/**
 * Lets a session run on a CUDA device.
 * @throws FoldgateError where the runtime has none, with its reason
 */
export function appendCuda(sessionOptions: Handle, device: number): void {
  const { checked, file } = library();
  try {
    const append = exported(
      file,
      'void *OrtSessionOptionsAppendExecutionProvider_CUDA(void *options, int device)',
    );
    if (!append) throw new FoldgateError('the library for this system was built without it');
    checked('CUDA', append)(sessionOptions, device);
  } catch (error) {
    throw new FoldgateError(
      `ONNX Runtime cannot use CUDA device ${device} (${(error as Error).message.trim()}). It wants an NVIDIA GPU, Linux on x64, ` +
        `CUDA 12 with cuDNN 9, and its CUDA provider: ONNXRUNTIME_NODE_INSTALL=cuda12 node ${join(packageFolder(), 'script/install.js')}`,
    );
  }
}

/** Runs a call whose last parameter receives a pointer, and gives the pointer. */
export function created(make: (out: unknown[]) => void): Handle {
  const out: unknown[] = [null];
  make(out);
  return out[0] as Handle;
}

/** The address of an array's memory, which stays where it is as long as the array lives. */
export function addressOf(values: ArrayBufferView): bigint {
  return koffi.address(values) as bigint;
}

/**
 * Gives the system what the runtime has freed: glibc keeps what the making of a session leaves behind, 5 MB
 * of a 135M model and 14 MB of a 0.5B one. Does nothing where the C library is another.
 */
export function returnFreedMemory(): void {
  systemFunction('int malloc_trim(size_t pad)')?.(0);
}

/** Linux's names for them begin with MADV_. */
const memoryAdvice = {
  /** The pages leave the process: a file's are mapped again when they are touched, others are zeros then. */
  dontNeed: 4,
  /** Of Linux 6.1 and later: make huge pages of what lies there, now. */
  collapse: 25,
} as const;

/**
 * Linux's madvise(2) on a part of this process's memory.
 * @returns whether the system took the advice; false everywhere else
 */
export function adviseMemory(address: bigint, bytes: number, advice: keyof typeof memoryAdvice): boolean {
  const madvise = systemFunction('int madvise(uintptr_t address, size_t bytes, int advice)');
  return madvise?.(address, bytes, memoryAdvice[advice]) === 0;
}

type SystemFunction = (...args: unknown[]) => unknown;
const systemFunctions = new Map<string, SystemFunction | undefined>();

/** A function of glibc; undefined on other systems. */
function systemFunction(prototype: string): SystemFunction | undefined {
  if (process.platform !== 'linux') return undefined;
  if (!systemFunctions.has(prototype)) systemFunctions.set(prototype, loadSystemFunction(prototype));
  return systemFunctions.get(prototype);
}

function loadSystemFunction(prototype: string): SystemFunction | undefined {
  try {
    return exported(koffi.load('libc.so.6'), prototype);
  } catch {
    return undefined; // another C library
  }
}

let prototypes = 0;

function bind(pointer: unknown, result: string, parameters: string[]): (...args: unknown[]) => unknown {
  const prototype = koffi.proto(`OrtFunction${prototypes++}`, result, parameters);
  return koffi.decode(pointer, prototype) as (...args: unknown[]) => unknown;
}

/** Of the package that brings the library. */
function packageFolder(): string {
  const require = createRequire(import.meta.url);
  return dirname(require.resolve('onnxruntime-node/package.json'));
}

function libraryPath(): string {
  const { platform, arch } = process;
  const names: Partial<Record<typeof platform, string>> = {
    linux: 'libonnxruntime.so.1',
    darwin: 'libonnxruntime.1.dylib',
    win32: 'onnxruntime.dll',
  };
  const folder = join(packageFolder(), 'bin', 'napi-v6', platform, arch);
  const path = join(folder, names[platform] ?? '');
  if (names[platform] === undefined || !existsSync(path)) {
    throw new FoldgateError(
      `ONNX Runtime for ${platform} on ${arch} was expected in ${folder}, and is not there. ` +
        'It is built for Linux (glibc) and Windows on x64 and arm64, and for macOS on arm64.',
    );
  }
  return path;
}
