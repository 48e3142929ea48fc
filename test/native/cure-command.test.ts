import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoData } from '../fixtures/pico-cure.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

interface Folded {
  quality: { stage: string; perplexity: number }[];
}

describe('foldgate fold --data', () => {
  it("cures on the text, by the checkpoint's probabilities or the text's own tokens", async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const fold = async (name: string, ...more: string[]) => {
      const out = `file:${join(folder, name)}`;
      const args = ['--remove', '0.34', '--data', data, '--cure-tokens', '4096', '--learning-rate', '3e-3'];
      const { code, stdout, stderr } = await foldgate(
        ...['fold', picoPath('llama'), ...args, '--quantize', 'none', '--out', out, '--json', ...more],
      );
      expect(stderr).toContain('held-out perplexity');
      expect(code).toBe(0);
      const { quality } = JSON.parse(stdout) as Folded;
      return quality.find(({ stage }) => stage === 'cured')!.perplexity / quality[0]!.perplexity;
    };
    const distilled = await fold('distilled');
    const trained = await fold('trained', '--cross-entropy', '1');
    // The checkpoint knows nothing of this text: whoever learns from it alone stays near it.
    expect(distilled).toBeGreaterThan(0.9);
    expect(trained).toBeLessThan(0.8);
  });

  it('follows few of the gradients by --optimizer sparsegrad, and tells what that saves', async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const args = ['--remove', '0.34', '--data', data, '--cure-tokens', '4096', '--learning-rate', '3e-3'];
    const { code, stdout, stderr } = await foldgate(
      ...['fold', picoPath('llama'), ...args, '--optimizer', 'sparsegrad:0.02', '--quantize', 'none'],
      ...['--out', `file:${join(folder, 'sparse')}`, '--json'],
    );
    expect(stderr).toMatch(/Curing takes .* there are, [\d.]+ \w+ (less|more) than by AdamW\.\n/);
    expect(stderr).toContain('Choosing gradients to follow: 8/8');
    expect(code).toBe(0);
    const { quality } = JSON.parse(stdout) as Folded;
    const [removed, cured] = ['layers removed', 'cured'].map(
      (name) => quality.find(({ stage }) => stage === name)!,
    );
    expect(cured!.perplexity).toBeLessThan(removed!.perplexity);
  });

  it('refuses a share of the loss that is none', async () => {
    const { code, stderr } = await foldgate('fold', 'x', '--out', 'file:y', '--cross-entropy', '1.5');
    expect(stderr).toContain('A number from 0 to 1 is expected');
    expect(code).toBe(2);
  });
});
