import { afterAll, beforeAll, describe } from 'vitest';
import { openS3Store } from '../../artifact/store/s3-store.ts';
import { storeContract } from '../unit/store/contract.ts';
import { isInstalled, S3Server, serverKinds, useEndpoint } from './servers.ts';

/** S3's smallest part. */
const partBytes = 5 * 1024 * 1024;

for (const kind of serverKinds) {
  describe.skipIf(!isInstalled(kind))(kind, () => {
    let server: S3Server;
    beforeAll(async () => {
      server = await S3Server.start(kind);
      useEndpoint(server.endpoint);
    });
    afterAll(() => server?.[Symbol.asyncDispose]());

    const open = async (prefix: string) => {
      const bucket = await server.makeBucket();
      return await openS3Store(
        { kind: 's3', bucket, prefix, pathStyle: undefined },
        { partBytes, rangeBytes: 1024 * 1024 },
      );
    };
    const options = { largeBytes: 2 * partBytes + 1234, atomic: kind !== 'moto' };
    storeContract(`${kind}, a whole bucket`, () => open(''), options);
    storeContract(`${kind}, a prefix`, () => open('team/models'), options);
  });
}
