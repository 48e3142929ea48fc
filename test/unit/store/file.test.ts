import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStore } from '../../../artifact/store/file.ts';
import { storeContract } from './contract.ts';

storeContract('file', async () => new FileStore(await mkdtemp(join(tmpdir(), 'foldgate-store-'))));
