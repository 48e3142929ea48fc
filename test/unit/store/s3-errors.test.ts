import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FoldgateError } from '../../../artifact/errors.ts';
import { explain } from '../../../artifact/store/s3-errors.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const explained = (error: unknown) => () => explain(error, 'blobs/x in s3://bucket');
const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => expect.fail('It should have failed.'),
    (error: Error) => error,
  );

it('blames this machine for a file that fails', async () => {
  const folder = await temporaryFolder();
  const full = async () => {
    const file = await open('/dev/full', 'w'); // every write to it answers that the disk is full
    await file.writeFile('x').finally(() => file.close());
  };
  for (const work of [() => readFile(join(folder, 'none')), () => readFile(folder), full]) {
    const error = await failure(work());
    expect(explained(error)).toThrow(FoldgateError);
    expect(explained(error)).toThrow(/a file on this machine failed, not the server \(E[A-Z]+: .*local disk/);
  }
});

it('blames the connection for a socket that fails', async () => {
  const server = createServer((socket) => socket.resetAndDestroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const reset = connect(port, '127.0.0.1');
  reset.on('connect', () => reset.write('x'));
  const [broken] = await once(reset, 'error').catch((error) => [error]);
  await new Promise((resolve) => server.close(resolve));
  const refused = connect(port, '127.0.0.1');
  const [closed] = await once(refused, 'connect').catch((error) => [error]);
  const denied = Object.assign(new Error('connect EACCES'), { code: 'EACCES', syscall: 'connect' });
  for (const error of [broken, closed, denied]) {
    expect(explained(error)).toThrow('the server could not be reached');
  }
});
