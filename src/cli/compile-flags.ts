/** The arguments of `modelmux compile`. */
import { parseArgs } from 'node:util'
import { parseModelRef } from '../domain/model-ref.ts'
import { UsageError } from './usage-error.ts'

export interface CompileFlags {
  /** Model ids; empty = all that the registry lists. */
  readonly refs: readonly string[]
  /** Fields of the configuration that flags set. */
  readonly fields: readonly { readonly flag: string; readonly path: readonly string[]; readonly text: string }[]
  readonly configFile?: string
  readonly isJson: boolean
  readonly printsHelp: boolean
}

export const COMPILE_FLAGS = ['all', 'models', 'cache', 'device', 'config', 'json', 'help'] as const

export const COMPILE_HELP = `modelmux compile --all, or modelmux compile NAME...: compile models ahead of the servers that will want them

  --all              every version of every model
  --models PLACE     where models come from, as for serve (default ./models)
  --cache DIR        folder for compiled models (default ./.modelmux); a server may be using it
  --device DEVICE    what they are to run on: cpu, webgpu, cuda:N or auto (default cpu)
  --config FILE      configuration file; with artifact.fleetCache.place, what is compiled is sent there
  --json             print what was done as one line of JSON, and no progress
  --help             print this text, and end

NAME is a model with all its versions, NAME:VERSION or NAME@ALIAS one of them. What is there already is passed over, so that a run that
was interrupted goes on where it was. Exit codes: 0 all are there, 1 some are not, 2 bad usage.
`

const FIELDS = { models: ['store', 'models'], cache: ['cache', 'dir'], device: ['device', 'use'] } as const

/** @throws UsageError */
export function parseCompileFlags(args: readonly string[]): CompileFlags {
  const { values, positionals: refs } = parsed(args)
  const isHelp = values.help === true
  if (!isHelp && (values.all === true) === refs.length > 0)
    throw new UsageError('expected either --all or the names of models, as in: modelmux compile acme/churn')
  for (const ref of refs) checkRef(ref)
  const names = ['models', 'cache', 'device'] as const
  return {
    refs,
    fields: names.flatMap((name) => {
      const text = values[name]
      return text === undefined ? [] : [{ flag: `--${name}`, path: FIELDS[name], text }]
    }),
    ...(values.config === undefined ? {} : { configFile: values.config }),
    isJson: values.json ?? false,
    printsHelp: isHelp,
  }
}

function checkRef(ref: string): void {
  try {
    parseModelRef(ref)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${ref} is no model id`)
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        all: { type: 'boolean' },
        models: { type: 'string' },
        cache: { type: 'string' },
        device: { type: 'string' },
        config: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
