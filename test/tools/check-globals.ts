/**
 * Fences on globals: time, timers, the environment, the end of the process, the console and the built-in HTTP client
 * may be named only by the files that own them. Also refuses comments that silence a checker: a fence with a gate
 * that anyone may open is none.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding, Findings } from './finding.ts'
import { sourceFiles } from './source-files.ts'
import type { Mention } from './syntax.ts'
import { globalMentions } from './syntax.ts'

export interface Fence {
  readonly name: string
  /** Files the fence stands in, and those among them that it lets through. */
  readonly within: RegExp
  readonly except: RegExp
  readonly catches: (mention: Mention) => boolean
  readonly instead: string
}

const SRC = /^src\//
const PROCESS_OWNERS = /^src\/(main[.]ts$|.*-main[.]ts$)/
const ENDINGS = new Set(['exit', 'abort', 'reallyExit'])
const PROCESS_CLOCKS = new Set(['hrtime', 'uptime'])
const TIMERS = new Set(['setTimeout', 'setInterval'])
const HTTP_CLIENTS = new Set(['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'])
/** Globals with fenced members: taken as a whole they would carry those members out of sight. */
const CONTAINERS = new Set(['process', 'Date', 'globalThis', 'global', 'AbortSignal'])

/** Every fence, by the name that a finding carries. */
export const FENCES: readonly Fence[] = [
  {
    name: 'global-time',
    within: SRC,
    except: /^src\/lib\/clock[.]ts$/,
    catches: readsTime,
    instead: 'take a Clock (src/lib/clock.ts) through the constructor',
  },
  {
    name: 'global-timers',
    within: SRC,
    except: /^src\/lib\/clock[.]ts$/,
    catches: startsTimer,
    instead: 'take a Clock (src/lib/clock.ts) through the constructor',
  },
  {
    name: 'global-env',
    within: SRC,
    except: /^src\/(config|child)\//,
    catches: (mention) => mention.name === 'process' && mention.member === 'env',
    instead: 'read settings from the Config',
  },
  {
    name: 'global-exit',
    within: SRC,
    except: PROCESS_OWNERS,
    catches: (mention) => mention.name === 'process' && ENDINGS.has(mention.member ?? ''),
    instead: 'throw, or return: main.ts and the entry points of children end their process',
  },
  {
    name: 'global-console',
    within: SRC,
    except: /^src\/(main[.]ts$|cli\/)/,
    catches: (mention) => mention.name === 'console',
    instead: 'log a named event through telemetry',
  },
  {
    name: 'global-http',
    within: SRC,
    except: /^src\/(clients|routing|cli)\//,
    catches: (mention) => HTTP_CLIENTS.has(mention.name),
    instead: 'use a client of src/clients',
  },
  {
    name: 'global-alias',
    within: SRC,
    except: /^src\/(main[.]ts$|engine\/|lib\/clock[.]ts$)/,
    catches: takesWhole,
    instead: 'name the member where it is used, so that the fences see it',
  },
  {
    name: 'no-sleep',
    within: /^test\/(unit|contract|integration)\//,
    except: /^$/,
    catches: startsTimer,
    instead: 'script the order with a gate or a manual clock (test/support)',
  },
]

/** Only at the start of a comment: prose about a checker silences nothing. */
const SILENCER = /(?:\/\/|\/\*+)\s*(biome-ignore|oxlint-disable|eslint-disable|@ts-ignore|@ts-nocheck|@ts-expect-error)/

/** Checks `root/{src,loadtest,test}`. */
export async function checkGlobals(root: string): Promise<Findings> {
  const files = await sourceFiles(root, ['src', 'loadtest', 'test'])
  const findings: Finding[] = []
  for (const file of files) {
    const source = await readFile(join(root, file), 'utf8')
    findings.push(...silencersIn(file, source), ...fencesBrokenBy(file, source))
  }
  return { files: files.length, findings }
}

function fencesBrokenBy(file: string, source: string): Finding[] {
  const fences = FENCES.filter((fence) => fence.within.test(file) && !fence.except.test(file))
  if (fences.length === 0) return []
  return globalMentions(source).flatMap((mention) =>
    fences
      .filter((fence) => fence.catches(mention))
      .map((fence) => ({
        rule: fence.name,
        where: `${file}:${mention.line}`,
        what: `${[mention.name, mention.member].filter((part) => part !== null).join('.')}: ${fence.instead}`,
      })),
  )
}

function silencersIn(file: string, source: string): Finding[] {
  return source.split('\n').flatMap((text, index) => {
    const silencer = SILENCER.exec(text)?.[1]
    const where = `${file}:${index + 1}`
    return silencer === undefined ? [] : [{ rule: 'no-silencers', where, what: `${silencer}: mend the cause` }]
  })
}

function readsTime({ name, member, form }: Mention): boolean {
  if (name === 'performance') return true
  if (name === 'process') return PROCESS_CLOCKS.has(member ?? '')
  if (name !== 'Date') return false
  // `new Date(ms)` formats an instant; without arguments, or called, Date reads the clock.
  return member === 'now' || (member === null && (form.kind === 'call' || (form.kind === 'new' && form.args === 0)))
}

function startsTimer({ name, member }: Mention): boolean {
  return TIMERS.has(name) || (name === 'AbortSignal' && member === 'timeout')
}

function takesWhole({ name, member, form }: Mention): boolean {
  return member === null && form.kind === 'value' && CONTAINERS.has(name)
}
