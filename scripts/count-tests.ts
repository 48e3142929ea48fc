/**
 * Adds up reports of Vitest's json reporter and prints "N passed, N failed" as the last line:
 *   node scripts/count-tests.ts [--failed PHASE]... PHASE.json...
 * A failed phase counts as one failure where its report, if it has one, shows none: a check, a file that did
 * not load, an unhandled rejection between tests, a report that is not there.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

interface Report {
  numPassedTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
}

const { values, positionals } = parseArgs({
  options: { failed: { type: 'string', multiple: true, default: [] } },
  allowPositionals: true,
});
const failedPhases = new Set(values.failed);
const failures: string[] = [];
let passed = 0;

for (const path of positionals) {
  const phase = basename(path, '.json');
  const report = readReport(path);
  const found = report === undefined ? [`${phase}: no report`] : failuresOf(report);
  if (found.length > 0) failedPhases.delete(phase);
  failures.push(...found);
  passed += report?.numPassedTests ?? 0;
  for (const test of report === undefined ? [] : testsWith(report, 'skipped', 'pending', 'todo')) {
    console.log(`skipped: ${test}`);
  }
}
failures.push(...failedPhases);
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 && passed > 0 ? 0 : 1;

function readReport(path: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function failuresOf(report: Report): string[] {
  const tests = testsWith(report, 'failed');
  const unloaded = report.testResults
    .filter(
      (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
    )
    .map((file) => `${file.name}: ${file.message}`);
  return [...tests, ...unloaded];
}

function testsWith(report: Report, ...statuses: string[]): string[] {
  return report.testResults.flatMap((file) =>
    file.assertionResults
      .filter((test) => statuses.includes(test.status))
      .map((test) => `${file.name}: ${test.fullName}`),
  );
}
