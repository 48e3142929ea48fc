import { CfnOutput, Duration, RemovalPolicy, type Stack } from 'aws-cdk-lib';
import {
  AccessLogFormat,
  AuthorizationType,
  EndpointType,
  LambdaIntegration,
  LogGroupLogDestination,
  ResponseTransferMode,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import { type Alias, FunctionUrlAuthType, type IFunction, InvokeMode } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { accept } from './accepted.ts';
import type { Settings } from './settings.ts';

/** Requests a second that API Gateway lets pass, and for a moment. */
const throttle = { rate: 100, burst: 200 };

/** Minutes that API Gateway lets one answer take. */
const answerMinutes = 15;

/** What requests come through. @returns its URL, with a slash at the end */
export function addFrontDoor(stack: Stack, live: Alias, settings: Settings): string {
  return settings.frontDoor === 'url' ? functionUrl(stack, live, settings) : restApi(stack, live, settings);
}

function functionUrl(stack: Stack, live: Alias, { access }: Settings): string {
  const url = live.addFunctionUrl({
    // Keys are the gateway's own business: clients of OpenAI's interface sign nothing.
    authType: access === 'keys' ? FunctionUrlAuthType.NONE : FunctionUrlAuthType.AWS_IAM,
    invokeMode: InvokeMode.RESPONSE_STREAM,
  });
  new CfnOutput(stack, 'Url', { value: url.url });
  return url.url;
}

function restApi(stack: Stack, live: Alias, { access, served }: Settings): string {
  const accessLog = new LogGroup(stack, 'AccessLog', {
    retention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const api = new RestApi(stack, 'Api', {
    restApiName: `foldgate-${served.name}`,
    description: `Foldgate: ${served.name}`,
    endpointTypes: [EndpointType.REGIONAL],
    deployOptions: {
      stageName: 'live',
      throttlingRateLimit: throttle.rate,
      throttlingBurstLimit: throttle.burst,
      accessLogDestination: new LogGroupLogDestination(accessLog),
      accessLogFormat: AccessLogFormat.jsonWithStandardFields(),
    },
    // For all methods, that of the root among them.
    defaultIntegration: new LambdaIntegration(live as IFunction, {
      proxy: true,
      responseTransferMode: ResponseTransferMode.STREAM,
      timeout: Duration.minutes(answerMinutes),
    }),
    defaultMethodOptions: {
      authorizationType: access === 'keys' ? AuthorizationType.NONE : AuthorizationType.IAM,
    },
  });
  api.root.addProxy();
  accept(api, {
    'AwsSolutions-APIG2':
      'The gateway checks each request against its schema and answers in the shape of OpenAI.',
    'AwsSolutions-APIG3':
      'Keys and throttling guard the door; a web ACL can be attached to the stage where wanted.',
    'AwsSolutions-APIG6':
      'Each request has a line in the access log and one of the function; more needs a role of the whole account.',
    ...(access === 'keys' && {
      'AwsSolutions-APIG4': "The gateway asks for its own API keys, as OpenAI's clients send them.",
    }),
    'AwsSolutions-COG4':
      "OpenAI's clients send keys, or sign their requests; a user pool has no part in that.",
    'Serverless-APIGWXrayEnabled': 'Each request is timed in its log line.',
  });
  return api.url;
}
