import { Match, type Template } from 'aws-cdk-lib/assertions';
import { describe, expect, it } from 'vitest';
import { synthesise } from '../fixtures/synthesis.ts';

const foldingImage = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/foldgate:1.2';

describe('folding on AWS Batch', () => {
  const folding = async (): Promise<Template> =>
    (await synthesise({ foldingImage })).templates.FoldgateFolding!;

  it('comes with an image alone', async () => {
    expect(Object.keys((await synthesise()).templates)).not.toContain('FoldgateFolding');
  });

  it('keeps its work in a file system that outlives a machine', async () => {
    const template = await folding();
    template.hasResourceProperties('AWS::Batch::JobDefinition', {
      ContainerProperties: {
        MountPoints: [{ ContainerPath: '/var/cache/foldgate', SourceVolume: 'work' }],
        Environment: [{ Name: 'FOLDGATE_CACHE', Value: '/var/cache/foldgate' }],
        ReadonlyRootFilesystem: true,
        Volumes: [
          {
            Name: 'work',
            EfsVolumeConfiguration: Match.objectLike({
              TransitEncryption: 'ENABLED',
              AuthorizationConfig: Match.objectLike({ Iam: 'ENABLED' }),
            }),
          },
        ],
      },
    });
    template.hasResourceProperties('AWS::EFS::FileSystem', { Encrypted: true });
    // The user of the image.
    template.hasResourceProperties('AWS::EFS::AccessPoint', { PosixUser: { Uid: '1000', Gid: '1000' } });
  });

  it('is taken up again on another machine, unless it was told nonsense', async () => {
    const template = await folding();
    template.hasResourceProperties('AWS::Batch::ComputeEnvironment', {
      ComputeResources: Match.objectLike({ Type: 'FARGATE_SPOT' }),
    });
    template.hasResourceProperties('AWS::Batch::JobDefinition', {
      RetryStrategy: { Attempts: 10, EvaluateOnExit: [{ Action: 'EXIT', OnExitCode: '2' }] },
    });
  });

  it('may pull its own image alone', async () => {
    const policies = JSON.stringify((await folding()).findResources('AWS::IAM::Policy'));
    expect(policies).toContain(':ecr:eu-central-1:123456789012:repository/team/foldgate');
    expect(policies).not.toContain('"ecr:*"');
  });
});
