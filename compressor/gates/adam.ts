/** Adam (arXiv 1412.6980) over a handful of numbers. */
export class Adam {
  readonly #rate: number;
  readonly #first: number[];
  readonly #second: number[];
  #steps = 0;

  constructor(size: number, rate: number) {
    this.#rate = rate;
    this.#first = new Array(size).fill(0);
    this.#second = new Array(size).fill(0);
  }

  step(values: number[], gradient: number[]): void {
    const [beta1, beta2] = [0.9, 0.95];
    this.#steps++;
    for (const [i, slope] of gradient.entries()) {
      this.#first[i] = beta1 * this.#first[i]! + (1 - beta1) * slope;
      this.#second[i] = beta2 * this.#second[i]! + (1 - beta2) * slope * slope;
      const mean = this.#first[i]! / (1 - beta1 ** this.#steps);
      const size = Math.sqrt(this.#second[i]! / (1 - beta2 ** this.#steps));
      values[i]! -= (this.#rate * mean) / (size + 1e-12);
    }
  }
}
