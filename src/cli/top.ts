/** `modelmux top`: a running server at a glance, live on a terminal, or once as text or JSON. */
import type { ReadStream, WriteStream } from 'node:tty'
import type { TerminalFacts } from '../config/terminal.ts'
import { terminalFacts } from '../config/terminal.ts'
import type { Clock } from '../lib/clock.ts'
import { pause, systemClock } from '../lib/clock.ts'
import type { Overview } from '../telemetry/overview.ts'
import { ASCII, UNICODE } from './figures.ts'
import { fetchOverview, OverviewError } from './overview-client.ts'
import { Terminal } from './terminal.ts'
import type { TopFlags } from './top-flags.ts'
import { parseTopFlags, TOP_HELP } from './top-flags.ts'
import { History } from './top-history.ts'
import type { Screen, TopView } from './top-screen.ts'
import { topLines } from './top-screen.ts'
import { UsageError } from './usage-error.ts'

export interface TopStreams {
  readonly input: ReadStream
  readonly output: WriteStream
  readonly errors: { write(text: string): unknown }
  readonly facts: TerminalFacts
  readonly clock: Clock
}

const BAD_USAGE = 2
/** Of output that is no terminal, and has no width of its own. */
const PLAIN_WIDTH = 120
const QUIT_KEYS = new Set(['q', 'Q', '\u0003', '\u0004'])

/** @returns the exit code: 0, 1 when the server could not be asked, 2 for bad usage */
export async function topCommand(
  args: readonly string[],
  interrupt: AbortSignal,
  streams: TopStreams = standardStreams(),
): Promise<number> {
  try {
    const flags = parseTopFlags(args)
    if (flags.printsHelp) {
      streams.output.write(TOP_HELP)
      return 0
    }
    const isLive = streams.output.isTTY && !streams.facts.isDumb && !flags.isOnce
    if (flags.isJson && !flags.isOnce) await followAsJson(flags, interrupt, streams)
    else if (isLive) await watch(flags, interrupt, streams)
    else await printOnce(flags, interrupt, streams)
    return 0
  } catch (error) {
    if (interrupt.aborted) return 0
    if (error instanceof UsageError || error instanceof OverviewError) {
      streams.errors.write(`modelmux: ${error.message}\n`)
      return error instanceof UsageError ? BAD_USAGE : 1
    }
    throw error
  }
}

async function printOnce(flags: TopFlags, interrupt: AbortSignal, streams: TopStreams): Promise<void> {
  const { output, facts } = streams
  const overview = await ask(flags, interrupt, streams)
  if (flags.isJson) {
    output.write(`${JSON.stringify(overview)}\n`)
    return
  }
  const view: TopView = { overview, history: new History(), url: flags.url, problem: undefined }
  const size = { width: output.columns || PLAIN_WIDTH, height: Number.POSITIVE_INFINITY }
  const lines = topLines(view, screenOf(size, facts, output.isTTY))
  output.write(`${lines.map((line) => line.trimEnd()).join('\n')}\n`)
}

async function followAsJson(flags: TopFlags, interrupt: AbortSignal, streams: TopStreams): Promise<void> {
  for (;;) {
    streams.output.write(`${JSON.stringify(await ask(flags, interrupt, streams))}\n`)
    await pause(streams.clock, flags.intervalMs, interrupt)
  }
}

/** Until a key or a signal ends it; a server that goes away is waited for. */
async function watch(
  flags: TopFlags,
  interrupt: AbortSignal,
  { input, output, facts, clock }: TopStreams,
): Promise<void> {
  const quit = new AbortController()
  const signal = AbortSignal.any([interrupt, quit.signal])
  const history = new History()
  let overview: Overview | undefined
  let problem: string | undefined
  const draw = () =>
    terminal.show(topLines({ overview, history, url: flags.url, problem }, screenOf(terminal.size, facts, true)))
  const terminal: Terminal = new Terminal({
    input,
    output,
    onKey: (key) => QUIT_KEYS.has(key) && quit.abort(),
    onResize: draw,
  })
  terminal.open()
  try {
    draw()
    while (!signal.aborted) {
      try {
        overview = await fetchOverview(flags.url, clock, signal)
        problem = undefined
        history.add(overview)
      } catch (error) {
        if (!(error instanceof OverviewError)) throw error
        problem = error.message
      }
      draw()
      await pause(clock, flags.intervalMs, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    terminal.close()
  }
}

async function ask({ url }: TopFlags, signal: AbortSignal, { clock }: TopStreams): Promise<Overview> {
  try {
    return await fetchOverview(url, clock, signal)
  } catch (error) {
    throw error instanceof OverviewError ? new OverviewError(`${url}: ${error.message}`) : error
  }
}

function screenOf(size: Pick<Screen, 'width' | 'height'>, facts: TerminalFacts, isTerminal: boolean): Screen {
  return { ...size, hasColours: isTerminal && facts.wantsColours, glyphs: facts.isUnicode ? UNICODE : ASCII }
}

function standardStreams(): TopStreams {
  return {
    input: process.stdin,
    output: process.stdout,
    errors: process.stderr,
    facts: terminalFacts(),
    clock: systemClock,
  }
}
