import { Match, type Template } from 'aws-cdk-lib/assertions';
import { describe, expect, it } from 'vitest';
import { storedPico } from '../../../test/fixtures/served-pico.ts';
import { synthesise } from '../fixtures/synthesis.ts';

async function serving(context: Record<string, unknown> = {}, name = 'tales-5m'): Promise<Template> {
  const { templates } = await synthesise(context);
  return templates[`Foldgate-${name}`]!;
}

/** Every action of every policy with its resources, as text. */
function permissions(template: Template): string[] {
  const policies = Object.values(template.findResources('AWS::IAM::Policy'));
  return policies.flatMap((policy) =>
    policy.Properties.PolicyDocument.Statement.flatMap(
      ({ Action, Resource }: { Action: string | string[]; Resource: unknown }) =>
        [Action].flat().map((action) => `${action} ${JSON.stringify(Resource)}`),
    ),
  );
}

describe('the function', () => {
  it('streams for up to 15 minutes on Node 24, on x86', async () => {
    (await serving()).hasResourceProperties('AWS::Lambda::Function', {
      Runtime: 'nodejs24.x',
      Handler: 'index.handler',
      Architectures: ['x86_64'],
      Timeout: 900,
      MemorySize: 1769,
      EphemeralStorage: { Size: 512 },
      Environment: {
        Variables: Match.objectLike({
          FOLDGATE_MODEL: 'tales-5m',
          FOLDGATE_ACCESS: 'keys',
          FOLDGATE_KV_CACHE: 'float32',
          AWS_LAMBDA_NODEJS_WORKER_COUNT: '1',
        }),
      },
    });
  });

  it('takes what it is told', async () => {
    const context = {
      architecture: 'arm64',
      memory: '3538',
      storage: '1024',
      maxConcurrency: '7',
      provisioned: '2',
      slots: '2',
      contextTokens: '2048',
    };
    const template = await serving(context);
    template.hasResourceProperties('AWS::Lambda::Function', {
      Architectures: ['arm64'],
      MemorySize: 3538,
      EphemeralStorage: { Size: 1024 },
      ReservedConcurrentExecutions: 7,
      Environment: { Variables: Match.objectLike({ FOLDGATE_SLOTS: '2', FOLDGATE_CONTEXT: '2048' }) },
    });
    template.hasResourceProperties('AWS::Lambda::Alias', {
      Name: 'live',
      ProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 2 },
    });
  });

  it('serves a local model from the bucket of this app', async () => {
    const { modelUrl } = await storedPico('llama');
    const template = await serving({ model: modelUrl }, 'pico');
    const [fn] = Object.values(template.findResources('AWS::Lambda::Function'));
    expect(JSON.stringify(fn!.Properties.Environment.Variables.FOLDGATE_STORE)).toMatch(
      /s3:\/\/foldgate-models-.*\/models/,
    );
  });

  it('reads prompts by weights of their own where told to, of a model that has them', async () => {
    const variables = (value: unknown) => ({
      Environment: { Variables: Match.objectLike({ FOLDGATE_PROMPT_WEIGHTS: value }) },
    });
    const { modelUrl: model } = await storedPico('llama', { promptWeights: 'int8' });
    const apart = await serving({ model, promptWeights: 'int8' }, 'pico');
    apart.hasResourceProperties('AWS::Lambda::Function', variables('int8'));
    const same = await serving({ model }, 'pico');
    same.hasResourceProperties('AWS::Lambda::Function', variables(Match.absent()));
    const { modelUrl } = await storedPico('llama');
    const refused = serving({ model: modelUrl, promptWeights: 'int8' }, 'pico');
    await expect(refused).rejects.toThrow(/pico has no int8 weights for prompts/);
  });

  it('may read its model, the blobs and the keys, and write its log: nothing else', async () => {
    const allowed = permissions(await serving());
    expect(allowed).toHaveLength(4);
    const keys = [...allowed[0]!.matchAll(/"\/([^"]+)"/g)].map((match) => match[1]);
    expect(allowed[0]).toMatch(/^s3:GetObject /);
    expect(keys.sort()).toEqual(['models/api-keys', 'models/blobs/*', 'models/models/tales-5m/*']);
    expect(allowed[1]).toMatch(/^s3:ListBucket /);
    expect(allowed.slice(2).every((one) => /^logs:(CreateLogStream|PutLogEvents) .*Logs/.test(one))).toBe(
      true,
    );
  });

  it('has no managed policy, and keeps versions to go back to', async () => {
    const template = await serving();
    for (const role of Object.values(template.findResources('AWS::IAM::Role')))
      expect(role.Properties.ManagedPolicyArns).toBeUndefined();
    template.hasResource('AWS::Lambda::Version', { DeletionPolicy: 'Retain' });
  });
});

describe('the front door', () => {
  it("is a function URL that streams, guarded by the gateway's keys", async () => {
    const template = await serving();
    template.hasResourceProperties('AWS::Lambda::Url', {
      AuthType: 'NONE',
      InvokeMode: 'RESPONSE_STREAM',
      Qualifier: 'live',
    });
    template.resourceCountIs('AWS::ApiGateway::RestApi', 0);
  });

  it('asks for signatures where told to', async () => {
    const template = await serving({ access: 'iam' });
    template.hasResourceProperties('AWS::Lambda::Url', { AuthType: 'AWS_IAM' });
    template.hasResourceProperties('AWS::Lambda::Function', {
      Environment: { Variables: Match.objectLike({ FOLDGATE_ACCESS: 'iam' }) },
    });
    expect(permissions(template).join()).not.toContain('api-keys"');
  });

  it('is API Gateway with response streaming where told to', async () => {
    const template = await serving({ frontDoor: 'rest' });
    template.resourceCountIs('AWS::Lambda::Url', 0);
    template.hasResourceProperties('AWS::ApiGateway::Method', {
      HttpMethod: 'ANY',
      Integration: {
        ResponseTransferMode: 'STREAM',
        TimeoutInMillis: 900_000,
        Uri: Match.objectLike({ 'Fn::Join': Match.anyValue() }),
      },
    });
    const methods = JSON.stringify(template.findResources('AWS::ApiGateway::Method'));
    expect(methods).toContain('/response-streaming-invocations');
  });

  it('asks for signatures there, at the root too', async () => {
    const template = await serving({ frontDoor: 'rest', access: 'iam' });
    const methods = Object.values(template.findResources('AWS::ApiGateway::Method'));
    expect(methods.map(({ Properties }) => Properties.AuthorizationType)).toEqual(['AWS_IAM', 'AWS_IAM']);
  });
});

describe('alarms', () => {
  it('each say what is wrong, and are mailed where an address is given', async () => {
    const template = await serving({ alarmEmail: 'you@example.com' });
    const alarms = Object.values(template.findResources('AWS::CloudWatch::Alarm'));
    expect(alarms).toHaveLength(4);
    for (const { Properties } of alarms) {
      expect(Properties.AlarmDescription).toMatch(/^Foldgate, tales-5m: .{40,}/);
      expect(Properties.AlarmActions).toHaveLength(1);
      expect(Properties.TreatMissingData).toBe('notBreaching');
    }
    template.hasResourceProperties('AWS::SNS::Subscription', { Endpoint: 'you@example.com' });
  });

  it('watch the metrics that the function prints', async () => {
    const template = await serving();
    for (const name of ['ServerErrors', 'FirstByte']) {
      template.hasResourceProperties('AWS::CloudWatch::Alarm', {
        Namespace: 'Foldgate',
        MetricName: name,
        Dimensions: [{ Name: 'Model', Value: 'tales-5m' }],
      });
    }
  });
});

describe('settings', () => {
  it.each([
    [{ memory: '100' }, /memory/],
    [{ memory: 'much' }, /memory/],
    [{ architecture: 'mips' }, /architecture/],
    [{ frontDoor: 'window' }, /frontDoor/],
    [{ alarmEmail: 'nobody' }, /alarmEmail/],
    [{ model: 's3://bucket' }, /names no model/],
    [{ model: './no-such/model' }, /There is no model/],
  ])('%j are refused by name', async (context, message) => {
    await expect(synthesise(context)).rejects.toThrow(message);
  });
});
