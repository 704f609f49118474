/** What B6S's measurements amount to: time and rate of each contender, the ratio to curl, and the calls that a fetch makes. */
import { median, pairedRatio, type Spread, spreadOf } from '../measure/statistics.ts'
import type { ClassName } from '../models/index.ts'
import type { BenchFindings, Cell, Chart, Gate, Table } from '../report/bench-result.ts'
import type { ProxiedCall } from './latency-proxy.ts'

/** Milliseconds of one repetition, all of the same object. */
export interface FetchTimes {
  /** `curl`, ranges like ours, through the proxy without its delay: what the proxy and the machine let through. */
  readonly ceiling: number
  /** `curl`, ranges like ours. */
  readonly curlRanges: number
  /** `curl`, one range for each connection. */
  readonly curlShares: number
  /** The phase `fetch` of the first answer, from the first call to the checked file. */
  readonly ours: number
}

export interface ClassFetches {
  readonly className: ClassName
  readonly bytes: number
  readonly times: FetchTimes[]
  /** For each repetition, what passed the proxy between the request and its answer. */
  readonly calls: (readonly ProxiedCall[])[]
  readonly problems: string[]
}

export interface FetchSetup {
  readonly delayMs: number
  readonly curlVersion: string
  readonly parallel: number
  readonly rangeBytes: number
}

const MIN_RATIO = 0.6
const MAX_ROUND_TRIPS = 2
const CONTENDERS: readonly (readonly [keyof FetchTimes, string])[] = [
  ['ceiling', 'curl, no delay: the proxy’s ceiling'],
  ['curlRanges', 'curl, ranges as ours'],
  ['curlShares', 'curl, a range a connection'],
  ['ours', 'modelmux, fetch phase'],
]

export function findings(all: readonly ClassFetches[], setup: FetchSetup): BenchFindings {
  const { delayMs, curlVersion, parallel, rangeBytes } = setup
  return {
    tables: [timeTable(all), callTable(all)],
    gates: all.flatMap(gatesOf),
    charts: [chartOf(all)],
    notes: [
      `${curlVersion} and modelmux through one TCP proxy that brings every byte ${delayMs} ms later each way (a round trip takes ${2 * delayMs} ms; connections open at once), interleaved; the S3 server is versitygw on the same machine, its files in the page cache.`,
      `curl: --parallel, ${parallel} connections, ranges of ${rangeBytes / 2 ** 20} MiB or one for each connection, into files, nothing checked; its own start is counted. The ratio is to the faster of the two, by repetition.`,
      'modelmux: a server on s3://, one request for a model it never fetched; the fetch phase begins before the object is asked about and ends when the SHA-256 of the whole file is checked.',
      'Round trips of the resolve: calls of a fetch that are not ranged reads, at most of any repetition.',
      ...all.flatMap(({ problems }) => problems.slice(0, 3)),
    ],
    wrong: all.reduce((sum, { problems }) => sum + problems.length, 0),
    errors: 0,
  }
}

function spread({ times }: ClassFetches, contender: keyof FetchTimes): Spread {
  return spreadOf(times.map((one) => one[contender]))
}

/** Of throughputs: curl's time by that of the contender. */
function ratio({ times }: ClassFetches, contender: keyof FetchTimes): Spread {
  return pairedRatio(
    times.map(({ curlRanges, curlShares }) => Math.min(curlRanges, curlShares)),
    times.map((one) => one[contender]),
  )
}

function isRead({ method, range }: ProxiedCall): boolean {
  return method === 'GET' && range !== undefined
}

function isList({ method, path }: ProxiedCall): boolean {
  return method === 'GET' && path.includes('list-type=2')
}

function count(calls: readonly ProxiedCall[], matches: (call: ProxiedCall) => boolean): number {
  return calls.filter(matches).length
}

function gatesOf(fetches: ClassFetches): Gate[] {
  const { className, calls } = fetches
  return [
    {
      name: `${className}: fetch against curl's parallel ranges`,
      value: ratio(fetches, 'ours').median,
      unit: 'x',
      bound: 'at least',
      limit: MIN_RATIO,
    },
    {
      name: `${className}: round trips of the resolve`,
      value: Math.max(...calls.map((some) => count(some, (call) => !isRead(call)))),
      unit: '',
      bound: 'at most',
      limit: MAX_ROUND_TRIPS,
    },
  ]
}

function timeTable(all: readonly ClassFetches[]): Table {
  return {
    title: 'Fetching a cold model',
    columns: [
      { title: 'class' },
      { title: 'size', unit: 'MB' },
      { title: 'what' },
      { title: 'n' },
      { title: 'time', unit: 'ms' },
      { title: 'rate', unit: 'MB/s' },
      { title: 'rate by curl’s', unit: 'x' },
    ],
    rows: all.flatMap((fetches) =>
      CONTENDERS.map(([contender, what]): Cell[] => {
        const time = spread(fetches, contender)
        const megabytes = fetches.bytes / 1e6
        const rate = (megabytes * 1000) / time.median
        return [fetches.className, megabytes, what, time.count, time, rate, ratio(fetches, contender)]
      }),
    ),
  }
}

function callTable(all: readonly ClassFetches[]): Table {
  const kinds: readonly ((call: ProxiedCall) => boolean)[] = [
    ({ method }) => method === 'HEAD',
    isList,
    isRead,
    (call) => call.method !== 'HEAD' && !isList(call) && !isRead(call),
  ]
  return {
    title: 'Calls of one fetch, medians',
    columns: ['class', 'HEAD', 'list', 'ranged GET', 'other'].map((title) => ({ title })),
    rows: all.map(({ className, calls }): Cell[] => [
      className,
      ...kinds.map((matches) => median(calls.map((some) => count(some, matches)))),
    ]),
  }
}

function chartOf(all: readonly ClassFetches[]): Chart {
  return {
    id: 'fetch',
    title: 'Fetching a cold model, by class',
    kind: 'bars',
    xTitle: 'class of model',
    yTitle: 'ms',
    series: CONTENDERS.map(([contender, name]) => ({
      name,
      points: all.map((fetches) => {
        const { median: y, min: low, max: high } = spread(fetches, contender)
        return { x: fetches.className, y, low, high }
      }),
    })),
  }
}
