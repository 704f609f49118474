/** The demo's command line. */
import { parseArgs } from 'node:util'

export interface DemoOptions {
  readonly models: number
  readonly port: number
  readonly folder: string
  readonly hasTraffic: boolean
  /** Undefined: until it is interrupted. */
  readonly seconds: number | undefined
  readonly showsLog: boolean
}

export const DEMO_HELP = `npm run demo -- [flags]: many customers' models, served, with a curl line to try

  --models N     customers (default 1000)
  --port N       port of the server (default 8080; 0 picks a free one)
  --dir DIR      folder for models and cache, kept for the next time (default .demo)
  --traffic      drive traffic over all models and show what it does
  --seconds N    end by itself after so long (default: when interrupted)
  --log          show the server's log
  --help         print this text
`

const FLAGS = {
  models: { type: 'string', default: '1000' },
  port: { type: 'string', default: '8080' },
  dir: { type: 'string', default: '.demo' },
  traffic: { type: 'boolean', default: false },
  seconds: { type: 'string' },
  log: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/** Undefined when help was asked for. @throws Error that says what is wrong with which flag */
export function readDemoOptions(argv: readonly string[]): DemoOptions | undefined {
  const { values } = parseArgs({ args: [...argv], options: FLAGS })
  if (values.help) return undefined
  return {
    models: wholeNumber('--models', values.models, 1, 100_000),
    port: wholeNumber('--port', values.port, 0, 65_535),
    folder: values.dir,
    hasTraffic: values.traffic,
    seconds: values.seconds === undefined ? undefined : wholeNumber('--seconds', values.seconds, 1, 86_400),
    showsLog: values.log,
  }
}

function wholeNumber(flag: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new RangeError(`${flag} is '${text}', expected a whole number from ${min} to ${max}`)
}
