/** The `Server-Timing` header, which browsers show beside a request. @param phases milliseconds by name; undefined ones are left out */
export function serverTiming(phases: Readonly<Record<string, number | undefined>>): string {
  return Object.entries(phases)
    .filter(([, milliseconds]) => milliseconds !== undefined)
    .map(([name, milliseconds]) => `${name};dur=${milliseconds!.toFixed(1)}`)
    .join(', ');
}
