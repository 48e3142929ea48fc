import { adaptStudent } from '../adapter/adapt-student.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { evaluateStudent } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import { patchedLayers } from '../patch/cuts.ts';
import { fitPatches, withPatches } from '../patch/patch-student.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { plannedStudent } from '../student/planned-student.ts';

/**
 * The loss in nats a token of a plan carried out as a whole, short of a cure.
 * @param fit windows that patches are fitted on
 */
export async function measureLoss(
  checkpoint: Checkpoint,
  plan: FoldPlan,
  fit: Int32Array[],
  text: TextWindows,
  signal: AbortSignal | undefined,
): Promise<number> {
  const how = signal ? { signal } : {};
  const planned = plannedStudent(checkpoint, plan);
  const adapted = await adaptStudent(checkpoint, planned, plan, how);
  const isPatched = patchedLayers(plan, plan.checkpointLayers).length > 0;
  const student = isPatched ? withPatches(adapted, await fitPatches(checkpoint, adapted, fit, how)) : adapted;
  return (await evaluateStudent(student, text, how)).nll;
}
