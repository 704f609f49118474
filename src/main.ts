#!/usr/bin/env node
/** Reads the command, hands it its arguments and the signals, and is the only file that ends the process. */
import { systemClock } from './lib/clock.ts'

const NEEDED = [22, 19] as const
const HELP = `modelmux: one endpoint for thousands of ONNX models

  modelmux serve [flags]        serve a folder of models; --help lists the flags
  modelmux top [flags]          watch a running server; --help lists the flags
  modelmux publish DIR PLACE    upload a version of a model to S3 or MLflow; --help explains
  modelmux purge NAME           remove all that is kept of a model; --help explains
  modelmux compile --all        compile models ahead of the servers that will want them; --help explains
  modelmux help                 print this text
  modelmux version              print the version
`

// Timers of ours and idle connections let a process end: until the command is done, this does not.
const { port1: hold } = new MessageChannel()
hold.ref()
process.exitCode = await main(process.argv.slice(2))
// Handles of libraries must not keep a command alive that is done: everything of ours is closed by now.
process.exit()

async function main([command, ...args]: readonly string[]): Promise<number> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    console.error(
      `modelmux needs Node ${NEEDED.join('.')} or newer, this is ${process.version}; in a checkout, 'npm run' uses the right one`,
    )
    return 1
  }
  switch (command) {
    case 'serve':
      // Imported late: an old Node must reach the message above, and help needs none of it.
      return (await import('./app/serve-command.ts')).serveCommand(args, interrupts())
    case 'top':
      return (await import('./cli/top.ts')).topCommand(args, interrupts())
    case 'publish':
      return (await import('./app/publish-command.ts')).publishCommand(args, interrupts())
    case 'purge':
      return (await import('./app/purge-command.ts')).purgeCommand(args, interrupts())
    case 'compile':
      return (await import('./app/compile-command.ts')).compileCommand(args, interrupts())
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(HELP)
      return command === undefined ? 2 : 0
    case 'version':
    case '--version':
      process.stdout.write(`${(await import('./app/version.ts')).version}\n`)
      return 0
    default:
      console.error(`modelmux: there is no command '${command}'\n\n${HELP}`)
      return 2
  }
}

/** Aborts at the first SIGINT or SIGTERM; a later second one ends the process at once. */
function interrupts(): AbortSignal {
  const controller = new AbortController()
  const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const
  // One Ctrl-C under npm arrives twice, from the terminal and forwarded by npm, half a millisecond apart.
  const SAME_SIGNAL_MS = 500
  let firstAt = 0
  for (const [signal, number] of Object.entries(SIGNAL_NUMBERS)) {
    process.on(signal, () => {
      if (!controller.signal.aborted) {
        firstAt = systemClock.now()
        controller.abort(signal)
      } else if (systemClock.now() - firstAt > SAME_SIGNAL_MS) {
        process.exit(128 + number)
      }
    })
  }
  return controller.signal
}
