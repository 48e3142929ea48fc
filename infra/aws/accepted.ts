import { type Stack, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';

/** Lets cdk-nag's rules look at everything below `scope`; a finding that nobody accepted fails the synthesis. */
export function addChecks(scope: IConstruct): void {
  Validations.of(scope).addPlugins(new AwsSolutionsChecks(scope), new ServerlessChecks(scope));
}

/** Accepts findings of cdk-nag on a construct, each with the reason. */
export function accept(construct: IConstruct | Stack, reasons: Record<string, string>): void {
  for (const [id, reason] of Object.entries(reasons)) Validations.of(construct).acknowledge({ id, reason });
}
