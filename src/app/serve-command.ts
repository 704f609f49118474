/** `modelmux serve`: flags and configuration in, a running server, a drained one when the signal says so, an exit code out. */
import { FolderInUseError, FolderReadOnlyError } from '../artifact/folder-lock.ts'
import { ConfigError } from '../config/config-error.ts'
import { describeServeFlags, parseServeFlags } from '../config/flags.ts'
import { loadConfig } from '../config/load.ts'
import { renderConfig } from '../config/print.ts'
import { GatewayError } from '../domain/errors.ts'
import { ListenError } from '../http/listen-error.ts'
import { startServe } from './serve.ts'
import { version } from './version.ts'

const HELP = `modelmux serve: serve models of a folder, a bucket or an MLflow registry

${describeServeFlags()}
`
const BAD_USAGE = 2

/** @returns the exit code: 0 after an orderly end, 1 when the server could not start or not drain, 2 for a bad configuration */
export async function serveCommand(args: readonly string[], interrupt: AbortSignal): Promise<number> {
  try {
    const flags = parseServeFlags(args)
    if (flags.printsHelp) return print(HELP)
    if (flags.printsVersion) return print(`${version}\n`)
    if (flags.printsConfig) return print(renderConfig(loadConfig({ flags, folders: 'ignore' })))
    const server = await startServe(loadConfig({ flags, folders: 'check' }))
    print(`listening on ${server.url}\n`)
    await aborted(interrupt)
    return (await server.stop(String(interrupt.reason))) ? 0 : 1
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`modelmux: ${error.message}\n`)
      return BAD_USAGE
    }
    if (
      error instanceof ListenError ||
      error instanceof FolderInUseError ||
      error instanceof FolderReadOnlyError ||
      isDeviceMissing(error)
    ) {
      process.stderr.write(`modelmux: ${error.message}\n`)
      return 1
    }
    throw error
  }
}

function isDeviceMissing(error: unknown): error is GatewayError {
  return error instanceof GatewayError && error.code === 'DEVICE_UNAVAILABLE'
}

function print(text: string): 0 {
  process.stdout.write(text)
  return 0
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
