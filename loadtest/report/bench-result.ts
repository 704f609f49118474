/** What a bench found, as plain data: the same object becomes the table, the JSON and the plots. */
import type { Machine } from '../measure/machine.ts'
import type { Spread } from '../measure/statistics.ts'

/** Numbers are formatted by column; text is shown as it is; undefined was not measured. */
export type Cell = string | number | Spread | undefined

export interface Column {
  readonly title: string
  /** Shown after the title; `x` is a ratio. */
  readonly unit?: string
}

export interface Table {
  readonly title: string
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly Cell[])[]
}

/** A figure that the product must reach. */
export interface Gate {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly limit: number
  readonly bound: 'at least' | 'at most'
}

export interface Series {
  readonly name: string
  readonly points: readonly {
    readonly x: number | string
    readonly y: number
    readonly low?: number
    readonly high?: number
  }[]
}

export interface Chart {
  /** Ends the file's name. */
  readonly id: string
  readonly title: string
  readonly kind: 'bars' | 'stacked' | 'lines'
  readonly xTitle: string
  readonly yTitle: string
  /** Default linear, from 0. Stacked bars are always linear. */
  readonly yScale?: 'log'
  readonly series: readonly Series[]
}

export interface BenchFindings {
  readonly tables: readonly Table[]
  readonly gates: readonly Gate[]
  readonly charts: readonly Chart[]
  readonly notes: readonly string[]
  /** Answers that were not the model's own, over the whole bench. */
  readonly wrong: number
  readonly errors: number
}

export interface BenchResult extends BenchFindings {
  readonly bench: string
  readonly question: string
  readonly command: string
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly seconds: number
  /** Whether it ran short, for a smoke test: such figures are not for quoting. */
  readonly isQuick: boolean
  readonly machine: Machine
}

/** Undefined when the figure is not a number: not measured is neither met nor missed. */
export function isMet({ value, limit, bound }: Gate): boolean | undefined {
  if (Number.isNaN(value)) return undefined
  return bound === 'at least' ? value >= limit : value <= limit
}
