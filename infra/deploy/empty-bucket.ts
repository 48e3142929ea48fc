import {
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListObjectVersionsCommand,
  type ObjectIdentifier,
  S3Client,
} from '@aws-sdk/client-s3';

/** Deletes a bucket with every version of every object in it. @returns how many those were */
export async function deleteBucket(bucket: string, client = new S3Client({})): Promise<number> {
  let deleted = 0;
  // The listing begins anew each time: what it listed is gone.
  for (;;) {
    const { Versions = [], DeleteMarkers = [] } = await client.send(
      new ListObjectVersionsCommand({ Bucket: bucket }),
    );
    const objects: ObjectIdentifier[] = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({
      Key,
      VersionId,
    }));
    if (objects.length === 0) break;
    const { Errors = [] } = await client.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: objects, Quiet: true } }),
    );
    if (Errors[0]) throw new Error(`${bucket}/${Errors[0].Key} cannot be deleted: ${Errors[0].Message}`);
    deleted += objects.length;
  }
  await client.send(new DeleteBucketCommand({ Bucket: bucket }));
  return deleted;
}
