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

export function parseShare(text: string): number {
  const value = parseNumber(text);
  if (value < 0 || value > 1) throw new InvalidArgumentError('A number from 0 to 1 is expected.');
  return value;
}
