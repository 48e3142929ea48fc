import { InvalidArgumentError } from 'commander';

export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('A number is expected.');
  return value;
}

export function parseInteger(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('A whole number is expected.');
  return value;
}

export function parseCount(text: string): number {
  const value = parseInteger(text);
  if (value < 1) throw new InvalidArgumentError('A whole number above 0 is expected.');
  return value;
}

export function parseIntegers(text: string): number[] {
  return text === '' || text === 'none' ? [] : text.split(',').map(parseInteger);
}

export function parseCounts(text: string): number[] {
  return text.split(',').map(parseCount);
}

export function parseNumbers(text: string): number[] {
  return text.split(',').map(parseNumber);
}

export function parseBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = parseNumber(text);
    if (value < least || value > most)
      throw new InvalidArgumentError(`A number from ${least} to ${most} is expected.`);
    return value;
  };
}

export const parseShare = parseBetween(0, 1);
