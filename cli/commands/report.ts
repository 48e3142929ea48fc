import { Command } from 'commander';

export function reportCommand(): Command {
  return new Command('report')
    .description('write what `foldgate compare` found as one HTML file that opens offline')
    .argument('<folder>', "the comparison's folder, which `compare` names when it ends")
    .option('--out <file>', 'where to', 'report.html')
    .addHelpText(
      'after',
      `
A comparison that is not done gives a report of what is there.

Examples:
  foldgate compare model.gguf --data texts.txt --out ./comparison
  foldgate report ./comparison --out report.html`,
    )
    .action(async (folder: string, { out }: { out: string }) => {
      const { readComparison } = await import('../../compressor/compare/read.ts');
      const { writeReport } = await import('../write-report.ts');
      await writeReport(await readComparison(folder), out);
      process.stdout.write(`${out}\n`);
    });
}
