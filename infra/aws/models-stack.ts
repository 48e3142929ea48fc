import { Aws, CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { BlockPublicAccess, Bucket, BucketEncryption } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { accept } from './accepted.ts';

/** Days that a replaced or deleted object can still be had back. */
const undoDays = 30;
/** Days after which parts of an upload that was never finished go. */
const uploadDays = 7;

/** The name of the bucket that this app makes: known beforehand, so that nothing has to be looked up. */
export function ownBucketName(account: string = Aws.ACCOUNT_ID, region: string = Aws.REGION): string {
  return `foldgate-models-${account}-${region}`;
}

/** The bucket of folded models. It outlives what serves them, and the stack itself. */
export class ModelsStack extends Stack {
  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, { description: 'Foldgate: folded models', ...props });
    const bucket = new Bucket(this, 'Models', {
      bucketName: ownBucketName(),
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      encryption: BucketEncryption.S3_MANAGED,
      versioned: true,
      lifecycleRules: [
        {
          noncurrentVersionExpiration: Duration.days(undoDays),
          abortIncompleteMultipartUploadAfter: Duration.days(uploadDays),
        },
        { expiredObjectDeleteMarker: true },
      ],
      removalPolicy: RemovalPolicy.RETAIN,
    });
    accept(bucket, {
      'AwsSolutions-S1':
        'Who reads which model is no secret here, and a log bucket would need a bucket of its own in turn. ' +
        'CloudTrail data events serve whoever needs an audit.',
    });
    new CfnOutput(this, 'BucketName', { value: bucket.bucketName, description: 'Holds the folded models' });
  }
}
