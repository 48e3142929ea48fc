import { UsageError } from '../../../artifact/errors.ts';

/** A checkpoint on the hub. */
export interface PullSpec {
  organization: string;
  name: string;
  /** Branch, tag or commit. */
  revision: string;
}

const format = 'hf:ORG/NAME or hf:ORG/NAME@REVISION';

/** @throws UsageError */
export function parsePullSpec(text: string): PullSpec {
  const part = '[A-Za-z0-9][A-Za-z0-9._-]{0,95}';
  const match = new RegExp(`^hf:(${part})/(${part})(?:@(${part}(?:/${part})*))?$`).exec(text);
  if (!match || text.includes('..')) {
    throw new UsageError(
      `${JSON.stringify(text)} names no checkpoint. Expected ${format}, such as hf:HuggingFaceTB/SmolLM2-135M-Instruct.`,
    );
  }
  return { organization: match[1]!, name: match[2]!, revision: match[3] ?? 'main' };
}

/** The folder of a spec within a cache, named by the model, so that messages and manifests are. */
export function pullFolder({ organization, name, revision }: PullSpec): string {
  const owner = revision === 'main' ? organization : `${organization}@${revision.replaceAll('/', '--')}`;
  return `checkpoints/${owner}/${name}`;
}
