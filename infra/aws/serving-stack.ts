import { CfnOutput, Duration, RemovalPolicy, Size, Stack, type StackProps } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Alias,
  Architecture,
  Code,
  type IVersion,
  Function as LambdaFunction,
  Runtime,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Bucket, type IBucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { keysObject } from '../../functions/lambda/stored-keys.ts';
import { accept } from './accepted.ts';
import { addAlarms } from './alarms.ts';
import { addDashboard } from './dashboard.ts';
import { addFrontDoor } from './front-door.ts';
import { servedMetrics } from './metrics.ts';
import { ownBucketName } from './models-stack.ts';
import type { Settings } from './settings.ts';

/** Minutes. The longest that Lambda lets a function stream one answer. */
const timeoutMinutes = 15;

export interface ServingStackProps extends StackProps {
  settings: Settings;
  /** The folder of the function's code, for the architecture asked for. */
  code: string;
}

/** One model behind OpenAI's HTTP interface: a function, its front door, and what tells how it fares. */
export class ServingStack extends Stack {
  constructor(scope: Construct, id: string, { settings, code, ...props }: ServingStackProps) {
    super(scope, id, { description: `Foldgate: serves ${settings.served.name}`, ...props });
    const { name, prefix } = settings.served;
    const bucketName = settings.served.bucket ?? ownBucketName();
    const bucket = Bucket.fromBucketName(this, 'Models', bucketName);

    const logGroup = new LogGroup(this, 'Logs', {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const serving = new LambdaFunction(this, 'Serving', {
      description: `Foldgate: ${name}`,
      runtime: Runtime.NODEJS_24_X,
      architecture: settings.architecture === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
      handler: 'index.handler',
      code: Code.fromAsset(code),
      role: this.#role(bucket, settings, logGroup),
      memorySize: settings.sizes.memory,
      ephemeralStorageSize: Size.mebibytes(settings.sizes.storage),
      timeout: Duration.minutes(timeoutMinutes),
      ...(settings.maxConcurrency && { reservedConcurrentExecutions: settings.maxConcurrency }),
      // A version that nothing points to stays, so that the alias can go back to it.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
      logGroup,
      environment: {
        FOLDGATE_STORE: `s3://${bucket.bucketName}${prefix === '' ? '' : `/${prefix}`}`,
        FOLDGATE_MODEL: name,
        FOLDGATE_ACCESS: settings.access,
        FOLDGATE_SLOTS: String(settings.slots),
        FOLDGATE_KV_CACHE: settings.kvCache,
        ...(settings.promptWeights !== 'same' && { FOLDGATE_PROMPT_WEIGHTS: settings.promptWeights }),
        ...(settings.contextTokens && { FOLDGATE_CONTEXT: String(settings.contextTokens) }),
        // Of a managed instance: its requests share one model in one thread, not one each.
        AWS_LAMBDA_NODEJS_WORKER_COUNT: '1',
      },
    });
    accept(serving, {
      'Serverless-LambdaTracing': 'Each request is timed in its log line; X-Ray would add to the cold start.',
      'Serverless-LambdaDLQ': 'The function is called synchronously alone: its caller has the error.',
    });
    const live = new Alias(this, 'Live', {
      aliasName: 'live',
      version: serving.currentVersion as IVersion,
      ...(settings.provisioned > 0 && { provisionedConcurrentExecutions: settings.provisioned }),
    });

    const url = addFrontDoor(this, live, settings);
    const metrics = servedMetrics(live, name);
    addAlarms(this, metrics, settings);
    addDashboard(this, metrics, name);
    new CfnOutput(this, 'BaseUrl', { value: `${url}v1`, description: "For OpenAI's clients" });
    new CfnOutput(this, 'FunctionName', { value: serving.functionName });
    new CfnOutput(this, 'Access', { value: settings.access });
  }

  /** May read the one model and its keys, and write its own log: nothing else. */
  #role(bucket: IBucket, { served, access }: Settings, logGroup: LogGroup): Role {
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    const at = (key: string) => (served.prefix === '' ? key : `${served.prefix}/${key}`);
    const readable = [`models/${served.name}/*`, 'blobs/*', ...(access === 'keys' ? [keysObject] : [])];
    role.addToPolicy(
      new PolicyStatement({
        actions: ['s3:GetObject'],
        resources: readable.map((key) => bucket.arnForObjects(at(key))),
      }),
    );
    // Without it S3 says "forbidden" of what is not there.
    role.addToPolicy(
      new PolicyStatement({
        actions: ['s3:ListBucket'],
        resources: [bucket.bucketArn],
        conditions: { StringLike: { 's3:prefix': [at('models/*'), at('blobs/*'), at(keysObject)] } },
      }),
    );
    logGroup.grantWrite(role);
    const arn = `arn:<AWS::Partition>:s3:::${served.bucket ?? ownBucketName('<AWS::AccountId>', '<AWS::Region>')}`;
    for (const key of readable.filter((key) => key.endsWith('*'))) {
      const finding = `AwsSolutions-IAM5[Resource::${arn}/${at(key)}]`;
      accept(role, { [finding]: 'All versions of the one model, and blobs, whose names are digests.' });
    }
    return role;
  }
}
