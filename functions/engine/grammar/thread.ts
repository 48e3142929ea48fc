import { parentPort, workerData } from 'node:worker_threads';
import { GrammarError } from '../engine.ts';
import { Compiler } from './compile.ts';
import { limitMemory } from './memory-limit.ts';
import type { FromGrammarThread, GrammarThreadOptions, OpenMessage, ToGrammarThread } from './messages.ts';
import { Doorbell, SharedConstraint } from './shared-constraint.ts';
import type { GrammarMatcher } from './xgrammar.ts';

/**
 * The thread that follows grammars: it compiles them, and makes the mask of each sequence's next token while the
 * model is at its step. Compiling takes some 50 ms and more, in one go: in the engine's thread everybody's text
 * would stop for that long. What goes wrong here for good ends this thread alone.
 */

const port = parentPort!;
const options = workerData as GrammarThreadOptions;
const doorbell = new Doorbell(options.doorbell);
const send = (message: FromGrammarThread) => port.postMessage(message);
const { stopTokens } = options.vocabulary;
const tokens = options.vocabulary.offsets.length - 1;

interface Follower {
  matcher: GrammarMatcher;
  shared: SharedConstraint;
  /** Tokens the matcher has seen; with none, there is no mask yet. */
  seen: number | undefined;
  longest: boolean;
}

const followers = new Map<number, Follower>();
/** Closed before they were opened. */
const closed = new Set<number>();

limitMemory();
const compiler = await Compiler.create(options.vocabulary);
// In turn: one that is closed while it waits is not compiled.
let opening = Promise.resolve();
port.on('message', (message: ToGrammarThread) => {
  if (message.type === 'open') opening = opening.then(() => open(message));
  else if (!close(message.id)) closed.add(message.id);
});
void serve();

async function open(message: OpenMessage): Promise<void> {
  const { id, ebnf, longest } = message;
  if (closed.delete(id)) return;
  try {
    if (!compiler.has(ebnf)) {
      await serveAll(); // whoever waits now should not wait for this
      doorbell.busy = true;
    }
    const grammar = await compiler.compile(ebnf);
    doorbell.busy = false;
    const matcher = await compiler.library.GrammarMatcher.createGrammarMatcher(grammar);
    const follower = { matcher, shared: new SharedConstraint(message.constraint), seen: undefined, longest };
    followers.set(id, follower);
    await advance(follower);
    send({ type: 'opened', id });
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    send({ type: 'refused', id, message: error.message });
  } finally {
    doorbell.busy = false;
  }
}

function close(id: number): boolean {
  followers.get(id)?.matcher.dispose();
  return followers.delete(id);
}

async function serve(): Promise<never> {
  for (;;) {
    const { rings } = doorbell;
    await serveAll();
    await doorbell.after(rings);
  }
}

async function serveAll(): Promise<void> {
  for (const follower of followers.values()) await advance(follower);
}

/** Follows the tokens that were taken meanwhile, and says what may come next. */
async function advance(follower: Follower): Promise<void> {
  const { matcher, shared } = follower;
  const { taken } = shared;
  if (follower.seen === taken) return;
  for (let i = follower.seen ?? 0; i < taken; i++) {
    if (!matcher.isTerminated() && !matcher.acceptToken(shared.token(i))) return shared.fail();
  }
  follower.seen = taken;
  if (matcher.isTerminated()) return;
  shared.mask.set(await matcher.getNextTokenBitmask());
  if (tokens % 32 !== 0) shared.mask[tokens >> 5]! &= (1 << (tokens & 31)) - 1;
  if (follower.longest) leaveOutStops(shared.mask);
  shared.publish(taken);
}

/** A text that is to be as long as possible ends only where nothing else may come. */
function leaveOutStops(mask: Int32Array): void {
  const stops = stopTokens.filter((token) => mask[token >> 5]! & (1 << (token & 31)));
  for (const token of stops) mask[token >> 5]! &= ~(1 << (token & 31));
  if (mask.some((word) => word !== 0)) return;
  for (const token of stops) mask[token >> 5]! |= 1 << (token & 31);
}
