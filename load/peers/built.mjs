// The command as the published package runs it: built JavaScript, without the memory that stripping types takes.
import { main } from '../../dist/cli/main.js';

process.exitCode = await main(process.argv.slice(2));
