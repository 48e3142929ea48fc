import { CfnOutput, Duration, RemovalPolicy, Size, Stack, type StackProps } from 'aws-cdk-lib';
import {
  Action,
  EcsFargateContainerDefinition,
  EcsJobDefinition,
  EcsVolume,
  FargateComputeEnvironment,
  JobQueue,
  Reason,
  RetryStrategy,
} from 'aws-cdk-lib/aws-batch';
import {
  FlowLogDestination,
  GatewayVpcEndpointAwsService,
  type ISecurityGroup,
  type IVpc,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { Repository } from 'aws-cdk-lib/aws-ecr';
import {
  ContainerImage,
  CpuArchitecture,
  FargatePlatformVersion,
  LogDriver,
  OperatingSystemFamily,
} from 'aws-cdk-lib/aws-ecs';
import { FileSystem, type IAccessPoint, LifecyclePolicy } from 'aws-cdk-lib/aws-efs';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { cacheFolder } from '../kubernetes/fleet.ts';
import { foldScript } from '../kubernetes/fold-job.ts';
import { accept } from './accepted.ts';
import { ownBucketName } from './models-stack.ts';
import type { Settings } from './settings.ts';

/** Of one fold: Fargate's largest pair for a price per hour of about a large instance's. */
const size = { cores: 8, memory: Size.gibibytes(32) };

/** Folds at once. */
const parallel = 4;

/** Times that a fold is taken up where its machine was taken away; Batch's most. */
const attempts = 10;

/** After which a fold is ended: something is wrong with it. */
const timeout = Duration.days(7);

export interface FoldingStackProps extends StackProps {
  settings: Settings & { foldingImage: string };
}

/**
 * Folds on AWS Batch, on machines that cost a third and may be taken away: a fold's work lies in a file system of its
 * own, and the next machine goes on from there.
 */
export class FoldingStack extends Stack {
  constructor(scope: Construct, id: string, { settings, ...props }: FoldingStackProps) {
    super(scope, id, { description: 'Foldgate: folds checkpoints', ...props });
    const vpc = this.#network();
    const workers = new SecurityGroup(this, 'Workers', { vpc, description: 'Jobs that fold' });
    const { files, folder } = this.#workFolder(vpc, workers);

    const environment = new FargateComputeEnvironment(this, 'Machines', {
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      securityGroups: [workers],
      spot: true,
      maxvCpus: parallel * size.cores,
    });
    const queue = new JobQueue(this, 'Queue', {
      computeEnvironments: [{ computeEnvironment: environment, order: 1 }],
    });

    const logGroup = new LogGroup(this, 'Logs', {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com') });
    const bucket = Bucket.fromBucketName(this, 'Models', settings.served.bucket ?? ownBucketName());
    bucket.grantReadWrite(role);
    files.grantReadWrite(role);
    accept(role, storeFindings(settings.served.bucket));

    const execution = new Role(this, 'Execution', {
      assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com'),
    });
    const job = new EcsJobDefinition(this, 'Fold', {
      container: new EcsFargateContainerDefinition(this, 'Container', {
        image: this.#image(settings.foldingImage),
        cpu: size.cores,
        memory: size.memory,
        jobRole: role,
        executionRole: execution,
        assignPublicIp: true,
        fargateCpuArchitecture:
          settings.architecture === 'arm64' ? CpuArchitecture.ARM64 : CpuArchitecture.X86_64,
        fargateOperatingSystemFamily: OperatingSystemFamily.LINUX,
        fargatePlatformVersion: FargatePlatformVersion.LATEST,
        command: ['sh', '-c', foldScript, 'Ref::checkpoint', 'Ref::out'],
        environment: { FOLDGATE_CACHE: cacheFolder },
        readonlyRootFilesystem: true,
        logging: LogDriver.awsLogs({ logGroup, streamPrefix: 'fold' }),
        volumes: [
          EcsVolume.efs({
            name: 'work',
            fileSystem: files,
            containerPath: cacheFolder,
            enableTransitEncryption: true,
            accessPointId: folder.accessPointId,
            useJobRole: true,
          }),
        ],
      }),
      retryAttempts: attempts,
      // Whatever ended it, a machine that was taken away among that, it goes on; wrong usage stays wrong.
      retryStrategies: [new RetryStrategy(Action.EXIT, Reason.custom({ onExitCode: '2' }))],
      timeout,
    });
    accept(execution, executionFindings);
    new CfnOutput(this, 'QueueName', { value: queue.jobQueueName });
    new CfnOutput(this, 'JobDefinition', { value: job.jobDefinitionName });
  }

  /** Of a private repository the jobs need the right to pull. */
  #image(uri: string): ContainerImage {
    const [, account, region, repositoryName, tag = 'latest'] =
      /^(\d{12})\.dkr\.ecr\.([\w-]+)\.[^/]+\/([^:@]+)(?::(.+))?$/.exec(uri) ?? [];
    if (repositoryName === undefined) return ContainerImage.fromRegistry(uri);
    const repositoryArn = `arn:${this.partition}:ecr:${region}:${account}:repository/${repositoryName}`;
    const repository = Repository.fromRepositoryAttributes(this, 'Image', { repositoryArn, repositoryName });
    return ContainerImage.fromEcrRepository(repository, tag);
  }

  /** Public subnets without inbound rules: a NAT gateway would cost more than the folds of a small team. */
  #network(): IVpc {
    const vpc = new Vpc(this, 'Network', {
      maxAzs: 2,
      natGateways: 0,
      subnetConfiguration: [{ name: 'jobs', subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false }],
      gatewayEndpoints: { S3: { service: GatewayVpcEndpointAwsService.S3 } },
    });
    const flows = new LogGroup(this, 'Flows', {
      retention: RetentionDays.ONE_WEEK,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    vpc.addFlowLog('FlowLog', { destination: FlowLogDestination.toCloudWatchLogs(flows) });
    return vpc as IVpc;
  }

  /** Checkpoints and the steps of folds, gone with the stack: what they made is in the bucket. */
  #workFolder(vpc: IVpc, workers: ISecurityGroup): { files: FileSystem; folder: IAccessPoint } {
    const files = new FileSystem(this, 'Work', {
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      encrypted: true,
      lifecyclePolicy: LifecyclePolicy.AFTER_14_DAYS,
      removalPolicy: RemovalPolicy.DESTROY,
      allowAnonymousAccess: false,
    });
    files.connections.allowFrom(workers, Port.tcp(2049));
    const owner = { ownerUid: '1000', ownerGid: '1000', permissions: '750' };
    const folder = files.addAccessPoint('Folder', {
      path: '/foldgate',
      createAcl: owner,
      posixUser: { uid: '1000', gid: '1000' },
    });
    return { files, folder };
  }
}

/** Findings of cdk-nag about the role that jobs have. */
function storeFindings(bucket: string | undefined): Record<string, string> {
  const arn = `arn:<AWS::Partition>:s3:::${bucket ?? ownBucketName('<AWS::AccountId>', '<AWS::Region>')}`;
  const reason =
    'A fold publishes blobs named by their digest, and the versions of any model in this one bucket.';
  const actions = ['s3:GetObject*', 's3:GetBucket*', 's3:List*', 's3:DeleteObject*', 's3:Abort*'];
  return Object.fromEntries([
    ...actions.map((action) => [`AwsSolutions-IAM5[Action::${action}]`, reason]),
    [`AwsSolutions-IAM5[Resource::${arn}/*]`, reason],
  ]);
}

const executionFindings = {
  'AwsSolutions-IAM5[Resource::*]':
    'The token that pulls an image from ECR is of the account, not of a repository.',
};
