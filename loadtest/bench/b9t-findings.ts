/** What B9T's measurements amount to: the share of a fine-tune's bytes that is moved, up and down. */
import { spreadOf } from '../measure/statistics.ts'
import type { Family } from '../models/index.ts'
import type { BenchFindings, Cell, Chart, Gate, Table } from '../report/bench-result.ts'

/** Bytes of one model: of its file, and on the line. */
export interface Transfer {
  readonly bytes: number
  readonly up: number
  readonly down: number
}

export interface FamilyTransfer {
  readonly className: string
  readonly family: Family
  /** The first of the family, which nobody knew. */
  readonly base: Transfer
  readonly tunes: readonly Transfer[]
  readonly problems: readonly string[]
}

const MAX_SHARE = 0.15
const WAYS = ['up', 'down'] as const
type Way = (typeof WAYS)[number]

export function findings(all: readonly FamilyTransfer[]): BenchFindings {
  return {
    tables: [transferTable(all)],
    gates: all.flatMap(gatesOf),
    charts: [chartOf(all)],
    notes: [
      '`modelmux publish --share-blobs` and `modelmux serve` on s3://, through a proxy that counts what passes: bodies, heads, signatures and the calls that ask what is there. The S3 server is versitygw on the same machine. A share is of the bytes of the model file; the largest of all fine-tunes counts.',
      ...all.flatMap(({ problems }) => problems.slice(0, 3)),
    ],
    wrong: all.reduce((sum, { problems }) => sum + problems.length, 0),
    errors: 0,
  }
}

function shares({ tunes }: FamilyTransfer, way: Way): number[] {
  return tunes.map((tune) => tune[way] / tune.bytes)
}

function gatesOf(transfer: FamilyTransfer): Gate[] {
  return WAYS.map((way) => ({
    name: `${transfer.className}/${transfer.family}: bytes ${way} of a fine-tune with a known base`,
    value: Math.max(...shares(transfer, way)),
    unit: 'x',
    bound: 'at most',
    limit: MAX_SHARE,
  }))
}

function transferTable(all: readonly FamilyTransfer[]): Table {
  const mb = (bytes: number): number => bytes / 1e6
  return {
    title: 'What is moved',
    columns: [
      { title: 'models' },
      { title: 'n' },
      { title: 'size', unit: 'MB' },
      { title: 'up', unit: 'MB' },
      { title: 'down', unit: 'MB' },
      { title: 'up by size', unit: 'x' },
      { title: 'down by size', unit: 'x' },
    ],
    rows: all.flatMap((transfer): Cell[][] => {
      const { className, family, base, tunes } = transfer
      const name = `${className}/${family}`
      const each = (read: (tune: Transfer) => number) => spreadOf(tunes.map((tune) => mb(read(tune))))
      return [
        [
          `${name}, the first`,
          1,
          mb(base.bytes),
          mb(base.up),
          mb(base.down),
          base.up / base.bytes,
          base.down / base.bytes,
        ],
        [
          `${name}, those after it`,
          tunes.length,
          each(({ bytes }) => bytes),
          each(({ up }) => up),
          each(({ down }) => down),
          spreadOf(shares(transfer, 'up')),
          spreadOf(shares(transfer, 'down')),
        ],
      ]
    }),
  }
}

function chartOf(all: readonly FamilyTransfer[]): Chart {
  return {
    id: 'transfer',
    title: 'Bytes moved by a fine-tune with a known base',
    kind: 'bars',
    xTitle: 'class of model',
    yTitle: 'share of its size',
    series: WAYS.map((way) => ({
      name: way,
      points: all.map((transfer) => ({
        x: `${transfer.className}/${transfer.family}`,
        y: spreadOf(shares(transfer, way)).median,
      })),
    })),
  }
}
