import { Match } from 'aws-cdk-lib/assertions';
import { expect, it } from 'vitest';
import { synthesise } from '../fixtures/synthesis.ts';

it('the bucket is private, takes TLS alone, undoes mistakes, and outlives its stack', async () => {
  const template = (await synthesise()).templates.FoldgateModels!;
  template.hasResource('AWS::S3::Bucket', {
    DeletionPolicy: 'Retain',
    UpdateReplacePolicy: 'Retain',
    Properties: {
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      VersioningConfiguration: { Status: 'Enabled' },
      LifecycleConfiguration: {
        Rules: Match.arrayWith([
          Match.objectLike({
            NoncurrentVersionExpiration: { NoncurrentDays: 30 },
            AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
          }),
        ]),
      },
    },
  });
  const [policy] = Object.values(template.findResources('AWS::S3::BucketPolicy'));
  const denied = policy!.Properties.PolicyDocument.Statement.filter(
    ({ Effect }: { Effect: string }) => Effect === 'Deny',
  );
  expect(JSON.stringify(denied)).toContain('"aws:SecureTransport":"false"');
  expect(policy!.Properties.PolicyDocument.Statement).toHaveLength(denied.length);
});
