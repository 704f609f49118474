/** `npm run demo`: see `--help`. Ends with 0 after Ctrl-C, SIGTERM or --seconds, once the server has drained. */
import { DEMO_HELP, readDemoOptions } from './demo/options.ts'
import { runDemo } from './demo/run-demo.ts'

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort())

try {
  const options = readDemoOptions(process.argv.slice(2))
  if (options === undefined) process.stdout.write(DEMO_HELP)
  else process.exitCode = await runDemo(options, { out: process.stdout, err: process.stderr }, interrupted.signal)
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
