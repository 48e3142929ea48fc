/** Bytes that a grammar library's instance may take. A vocabulary of 152 thousand tokens takes 40 MB. */
const maxInstanceBytes = 512 * 1024 * 1024;
const pageBytes = 64 * 1024;

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** What the language's own library of types leaves to browsers' types. */
declare const WebAssembly: { Memory: { prototype: Memory } };

/** For the whole thread: an instance that wants more is refused it, and aborts, rather than to take 2 GB. */
export function limitMemory(): void {
  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = function (this: Memory, pages: number) {
    const wanted = this.buffer.byteLength + pages * pageBytes;
    if (wanted > maxInstanceBytes)
      throw new RangeError(`A grammar should take at most ${maxInstanceBytes} bytes.`);
    return grow.call(this, pages);
  };
}
