import { MemoryStore } from '../../../artifact/store/memory.ts';
import { storeContract } from './contract.ts';

storeContract('memory', async () => new MemoryStore());
