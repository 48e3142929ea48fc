/** The names of the stacks, for those that have no need of CDK itself. */
export const modelsStackName = 'FoldgateModels';
export const foldingStackName = 'FoldgateFolding';

/** A stack of its own for each model: they come and go by themselves. */
export function servingStackName(model: string): string {
  return `Foldgate-${model.replace(/[^A-Za-z0-9-]/g, '-')}`;
}
