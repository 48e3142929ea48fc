/** Synthesises the templates, without network and credentials: npm run synth -- --context model=./models/tales */
import { exitCodeOf, runCdk } from '../deploy/cdk.ts';

process.exitCode = await exitCodeOf(() => runCdk(['synth', '--quiet', ...process.argv.slice(2)]));
