import { describe, expect, it } from 'vitest';
import { arrivalTimes } from '../../../load/scenario/arrivals.ts';
import { parseScenario, readScenario, scenarioFiles, scenarioNames } from '../../../load/scenario/read.ts';
import { plannedRequest } from '../../../load/scenario/requests.ts';
import { type Scenario, scaled, secondsOf } from '../../../load/scenario/scenario.ts';

const { scenario: chat } = await readScenario('chat');

describe('scenario files', () => {
  it('are all in the set, and the set has no others', async () => {
    expect(await scenarioFiles()).toEqual([...scenarioNames].sort());
  });

  it.each(scenarioNames)('%s is a scenario', async (name) => {
    await expect(readScenario(name)).resolves.toMatchObject({ name });
  });

  it('are refused with the name of every field that is wrong', () => {
    const wrong = { ...chat, endpoint: 'images', arrivals: { ...chat.arrivals, speed: 3 } };
    const parse = () => parseScenario(JSON.stringify(wrong), 'mine.json');
    expect(parse).toThrow(/mine\.json is no scenario[\s\S]*endpoint/);
    expect(parse).toThrow(/speed/);
  });

  it('are found by name, and an unknown name is told of those that exist', async () => {
    await expect(readScenario('stampede')).rejects.toThrow(/smoke, completions, chat/);
  });
});

describe('requests', () => {
  const wordsOf = (index: number, scenario = chat) => {
    const { body } = plannedRequest(scenario, index, 'tales');
    return (body.messages as { role: string; content: string }[]).map(({ content }) => content.split(' '));
  };

  it('are the same for whoever asks for the same number', () => {
    expect(plannedRequest(chat, 17, 'tales')).toEqual(plannedRequest(chat, 17, 'tales'));
  });

  it('share what the scenario says, word for word, and go on in their own way', () => {
    const [first, second] = [wordsOf(0), wordsOf(1)];
    expect(first[0]).toHaveLength(40);
    expect(first[0]).toEqual(second[0]);
    expect(first[1]!.slice(0, 6)).not.toEqual(second[1]!.slice(0, 6));
  });

  it('have as many words as their kind, and kinds come by their share', () => {
    const counts: Record<string, number> = {};
    for (let index = 0; index < 2000; index++) {
      const { kind } = plannedRequest(chat, index, 'tales');
      const [fewest, most] = chat.prompts.find(({ name }) => name === kind)!.words;
      const words = wordsOf(index)[1]!.length;
      expect(words >= fewest && words <= most).toBe(true);
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    expect(counts.question! / 2000).toBeCloseTo(0.75, 1);
  });

  it('ask for tokens up to the limit, and for usage where they are streamed', () => {
    const { path, body } = plannedRequest(chat, 0, 'tales');
    expect(path).toBe('/v1/chat/completions');
    expect(body).toMatchObject({ model: 'tales', max_tokens: 64, ignore_eos: true, stream: true });
    expect(body.stream_options).toEqual({ include_usage: true });
    const plain = plannedRequest({ ...chat, endpoint: 'completions', stream: false }, 0, 'tales');
    expect(plain.path).toBe('/v1/completions');
    expect(plain.body).not.toHaveProperty('stream_options');
  });
});

describe('arrivals', () => {
  const of = (process: 'constant' | 'poisson', stages: Scenario['arrivals']['stages'], seed = 1) =>
    arrivalTimes({ process, stages }, seed);

  it('are evenly spaced where they are constant, at each stage its own rate', () => {
    const stages = [
      { seconds: 1, perSecond: 2 },
      { seconds: 0.5, perSecond: 10 },
    ];
    expect(of('constant', stages)).toEqual([0, 500, 1000, 1100, 1200, 1300, 1400]);
  });

  it('have exponential gaps where they are Poisson: mean and deviation are equal', () => {
    const times = of('poisson', [{ seconds: 2000, perSecond: 10 }]);
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    // Five standard errors of 20,000 draws.
    expect(Math.abs(mean / 100 - 1)).toBeLessThan(0.036);
    expect(Math.abs(deviation / mean - 1)).toBeLessThan(0.036);
    expect(times.every((at) => at < 2_000_000)).toBe(true);
  });

  it('follow the seed', () => {
    const stages = [{ seconds: 10, perSecond: 5 }];
    expect(of('poisson', stages, 3)).toEqual(of('poisson', stages, 3));
    expect(of('poisson', stages, 3)).not.toEqual(of('poisson', stages, 4));
  });

  it('become longer and denser by factors', () => {
    const more = scaled(chat, { duration: 2, rate: 3 });
    expect(secondsOf(more.arrivals)).toBe(60);
    expect(more.arrivals.stages).toEqual([{ seconds: 60, perSecond: 3 }]);
    expect(secondsOf(chat.arrivals)).toBe(30);
  });
});
