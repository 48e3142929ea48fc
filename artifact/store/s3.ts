/** The only door to the S3 client: one bucket, with the client's own errors. */
import { isIP } from 'node:net';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3';

/** One connection to S3 carries some 50 to 100 MB/s; several fill the network of a larger machine. */
const maxSockets = 64;
const connectMs = 5_000;

type Signal = AbortSignal | undefined;

export interface S3Head {
  bytes: number;
  modified: Date;
  /** Changes whenever the object does. */
  tag: string | undefined;
}

export interface S3Answer {
  body: AsyncIterable<Uint8Array> & { destroy?: () => void };
  /** Of this answer's body. */
  bytes: number;
  /** Of the whole object, where the answer is a range. */
  total: number | undefined;
  tag: string | undefined;
}

export interface S3Part {
  PartNumber: number;
  ETag?: string;
  ChecksumCRC32?: string;
}

/** @throws errors of the S3 client, from every method; `s3-errors.ts` knows what they mean. */
export class S3Bucket {
  readonly #name: string;
  readonly #client: S3Client;

  private constructor(name: string, client: S3Client) {
    this.#name = name;
    this.#client = client;
  }

  /**
   * Endpoint, region and credentials come from where every AWS tool takes them: AWS_ENDPOINT_URL_S3,
   * AWS_ENDPOINT_URL, AWS_REGION, AWS_PROFILE, the machine's role.
   * @param idleMs without a byte for so long, a connection counts as dead.
   */
  static async open(name: string, pathStyle: boolean | undefined, idleMs: number): Promise<S3Bucket> {
    const config: S3ClientConfig = {
      forcePathStyle: pathStyle ?? wantsPathStyle(process.env),
      // A bucket elsewhere answers with its region, and the client goes there.
      followRegionRedirects: true,
      // Waiting for "100 Continue" costs a round trip a part, and old servers never send it.
      expectContinueHeader: false,
      // Blobs are verified by sha256; ranges have no checksum of their own.
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: connectMs,
        socketTimeout: idleMs,
        httpAgent: { maxSockets },
        httpsAgent: { maxSockets },
      },
    };
    const client = new S3Client(config);
    const hasRegion = await client.config.region().then(
      () => true,
      () => false,
    );
    // Servers of one's own have no regions, and AWS redirects from this one.
    const region = process.env.AWS_DEFAULT_REGION || 'us-east-1';
    return new S3Bucket(name, hasRegion ? client : new S3Client({ ...config, region }));
  }

  async head(key: string, signal: Signal): Promise<S3Head> {
    const command = new HeadObjectCommand({ Bucket: this.#name, Key: key });
    const answer = await this.#client.send(command, abortable(signal));
    return {
      bytes: answer.ContentLength ?? 0,
      modified: answer.LastModified ?? new Date(0),
      tag: answer.ETag,
    };
  }

  /** The object, or its bytes `start` to `end` (exclusive); with `tag`, only if it is still that object. */
  async get(
    key: string,
    signal: Signal,
    { start, end, tag }: { start?: number; end?: number; tag?: string | undefined } = {},
  ): Promise<S3Answer> {
    const command = new GetObjectCommand({
      Bucket: this.#name,
      Key: key,
      ...(start !== undefined && end !== undefined && { Range: `bytes=${start}-${end - 1}` }),
      ...(tag !== undefined && { IfMatch: tag }),
    });
    const answer = await this.#client.send(command, abortable(signal));
    const total = /\/(\d+)$/.exec(answer.ContentRange ?? '')?.[1];
    return {
      body: answer.Body as S3Answer['body'],
      bytes: answer.ContentLength ?? 0,
      total: total === undefined ? undefined : Number(total),
      tag: answer.ETag,
    };
  }

  async put(key: string, body: Uint8Array, ifAbsent: boolean, signal: Signal): Promise<void> {
    const command = new PutObjectCommand({ Bucket: this.#name, Key: key, Body: body, ...absent(ifAbsent) });
    await this.#client.send(command, abortable(signal));
  }

  /** A copy onto itself is legal only where something about it changes: here its metadata, to the same. */
  async touch(key: string, signal: Signal): Promise<void> {
    const command = new CopyObjectCommand({
      Bucket: this.#name,
      Key: key,
      CopySource: `${this.#name}/${encodeURI(key)}`,
      MetadataDirective: 'REPLACE',
    });
    await this.#client.send(command, abortable(signal));
  }

  async remove(key: string, signal: Signal): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#name, Key: key }), abortable(signal));
  }

  /** One page of the objects below `prefix`; `next` asks for the following one. */
  async list(
    prefix: string,
    token: string | undefined,
    signal: Signal,
  ): Promise<{ objects: { key: string; bytes: number; modified: Date }[]; next: string | undefined }> {
    const command = new ListObjectsV2Command({
      Bucket: this.#name,
      Prefix: prefix,
      ...(token !== undefined && { ContinuationToken: token }),
    });
    const page = await this.#client.send(command, abortable(signal));
    const objects = (page.Contents ?? []).flatMap(({ Key, Size, LastModified }) =>
      Key === undefined ? [] : [{ key: Key, bytes: Size ?? 0, modified: LastModified ?? new Date(0) }],
    );
    return { objects, next: page.IsTruncated ? page.NextContinuationToken : undefined };
  }

  /** Begins a multipart upload. @returns its id. */
  async beginUpload(key: string, signal: Signal): Promise<string> {
    // The parts carry CRC-32 unless the user turned that off; S3 wants to know from the start.
    const checksums = (await this.#client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED';
    const command = new CreateMultipartUploadCommand({
      Bucket: this.#name,
      Key: key,
      ...(checksums && { ChecksumAlgorithm: 'CRC32' }),
    });
    const { UploadId } = await this.#client.send(command, abortable(signal));
    if (UploadId === undefined) throw new Error('The server began an upload and gave it no id.');
    return UploadId;
  }

  async putPart(key: string, id: string, number: number, body: Uint8Array, signal: Signal): Promise<S3Part> {
    const command = new UploadPartCommand({
      Bucket: this.#name,
      Key: key,
      UploadId: id,
      PartNumber: number,
      Body: body,
    });
    const { ETag, ChecksumCRC32 } = await this.#client.send(command, abortable(signal));
    return { PartNumber: number, ...(ETag && { ETag }), ...(ChecksumCRC32 && { ChecksumCRC32 }) };
  }

  async completeUpload(
    key: string,
    id: string,
    parts: S3Part[],
    ifAbsent: boolean,
    signal: Signal,
  ): Promise<void> {
    const command = new CompleteMultipartUploadCommand({
      Bucket: this.#name,
      Key: key,
      UploadId: id,
      MultipartUpload: { Parts: parts },
      ...absent(ifAbsent),
    });
    await this.#client.send(command, abortable(signal));
  }

  async abortUpload(key: string, id: string, signal: Signal): Promise<void> {
    const command = new AbortMultipartUploadCommand({ Bucket: this.#name, Key: key, UploadId: id });
    await this.#client.send(command, abortable(signal));
  }

  async *listUploads(
    prefix: string,
    signal: Signal,
  ): AsyncGenerator<{ key: string; id: string; begun: Date }> {
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (marker !== undefined) {
      const page: ListMultipartUploadsCommandOutput = await this.#client.send(
        new ListMultipartUploadsCommand({ Bucket: this.#name, Prefix: prefix, ...marker }),
        abortable(signal),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key && UploadId && Initiated) yield { key: Key, id: UploadId, begun: Initiated };
      }
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
      marker =
        IsTruncated && NextKeyMarker
          ? { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker && { UploadIdMarker: NextUploadIdMarker }) }
          : undefined;
    }
  }
}

/** Servers on this machine, or under a bare address, know no `BUCKET.HOST` names. */
export function wantsPathStyle(env: NodeJS.ProcessEnv): boolean {
  const wish = env.FOLDGATE_S3_PATH_STYLE;
  if (wish !== undefined && wish !== '') return wish === 'true' || wish === '1';
  const endpoint = env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL;
  if (!endpoint || !URL.canParse(endpoint)) return false;
  const host = new URL(endpoint).hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || isIP(host) !== 0;
}

function absent(ifAbsent: boolean): { IfNoneMatch?: '*' } {
  return ifAbsent ? { IfNoneMatch: '*' } : {};
}

function abortable(signal: Signal): { abortSignal?: AbortSignal } {
  return signal ? { abortSignal: signal } : {};
}
