/**
 * Plots as SVG without a library: grouped bars, stacked bars and lines, with axes, ticks, error bars and a legend on a light ground.
 *
 *   +--------------- title ----------------+
 *   | y |                        | legend  |
 *   |   +------------------------+         |
 *   |            x                         |
 */
import { type Axis, linearAxis, logAxis } from './axis.ts'
import type { Chart, Series } from './bench-result.ts'
import { formatNumber } from './format.ts'

const WIDTH = 920
const HEIGHT = 440
const PLOT = { left: 84, top: 52, width: 566, height: 316 } as const
/** Okabe and Ito's palette: told apart by people with any kind of colour vision. */
const COLOURS = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#d55e00',
  '#7a7a7a',
  '#c8b400',
  '#1b1b1b',
] as const
/** Bars of a group take this share of the group's width. */
const GROUP_FILL = 0.78

type Point = Series['points'][number]

export function renderChart(chart: Chart): string {
  const categories = [...new Set(chart.series.flatMap(({ points }) => points.map(({ x }) => x)))]
  const y = chart.yScale === 'log' ? logAxis(...extent(chart)) : linearAxis(highest(chart, categories))
  const body = chart.kind === 'lines' ? lines(chart, y) : bars(chart, categories, y)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#222">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(WIDTH / 2, 28, chart.title, 'text-anchor="middle" font-size="16" font-weight="600"'),
    ...yAxis(chart, y),
    ...body,
    ...legend(chart),
    text(PLOT.left + PLOT.width / 2, HEIGHT - 18, chart.xTitle, 'text-anchor="middle"'),
    '</svg>',
    '',
  ].join('\n')
}

function yAxis(chart: Chart, axis: Axis): string[] {
  const middle = PLOT.top + PLOT.height / 2
  const ticks = axis.ticks.flatMap((tick) => {
    const at = down(axis, tick)
    return [
      `<line x1="${PLOT.left}" x2="${PLOT.left + PLOT.width}" y1="${at}" y2="${at}" stroke="#e2e2e2"/>`,
      text(PLOT.left - 8, at + 4, formatNumber(tick), 'text-anchor="end"'),
    ]
  })
  return [...ticks, text(20, middle, chart.yTitle, `text-anchor="middle" transform="rotate(-90 20 ${middle})"`)]
}

function bars(chart: Chart, categories: readonly (number | string)[], axis: Axis): string[] {
  const groupWidth = PLOT.width / Math.max(categories.length, 1)
  const isStacked = chart.kind === 'stacked'
  const barWidth = (groupWidth * GROUP_FILL) / (isStacked ? 1 : chart.series.length)
  const zero = PLOT.top + PLOT.height
  return categories.flatMap((category, group) => {
    const start = PLOT.left + groupWidth * (group + (1 - GROUP_FILL) / 2)
    let below = 0
    const shapes = chart.series.flatMap((series, i) => {
      const point = series.points.find(({ x }) => x === category)
      if (point === undefined || !Number.isFinite(point.y)) return []
      const from = isStacked ? down(axis, below) : zero
      if (isStacked) below += point.y
      const to = down(axis, isStacked ? below : point.y)
      const x = start + (isStacked ? 0 : i * barWidth)
      const label = `${series.name}, ${category}: ${formatNumber(point.y)}`
      return [
        `<rect x="${round(x)}" y="${round(to)}" width="${round(barWidth - 1)}" height="${round(Math.max(from - to, 0))}" fill="${colour(i)}"><title>${escaped(label)}</title></rect>`,
        ...(isStacked ? [] : errorBar(axis, x + (barWidth - 1) / 2, point)),
      ]
    })
    const middle = PLOT.left + groupWidth * (group + 0.5)
    return [...shapes, text(middle, zero + 20, String(category), 'text-anchor="middle"')]
  })
}

function lines(chart: Chart, axis: Axis): string[] {
  const xs = [...new Set(chart.series.flatMap(({ points }) => points.map(({ x }) => Number(x))))].toSorted(
    (a, b) => a - b,
  )
  const last = xs.at(-1) ?? 1
  const across = (x: number) => PLOT.left + (PLOT.width * x) / (last || 1)
  const shapes = chart.series.flatMap((series, i) => {
    const points = series.points.filter(({ y }) => Number.isFinite(y))
    const path = points.map(({ x, y }) => `${round(across(Number(x)))},${round(down(axis, y))}`).join(' ')
    const dots = points.flatMap((point) => {
      const x = across(Number(point.x))
      const label = `${series.name}, ${point.x}: ${formatNumber(point.y)}`
      return [
        `<circle cx="${round(x)}" cy="${round(down(axis, point.y))}" r="3.5" fill="${colour(i)}"><title>${escaped(label)}</title></circle>`,
        ...errorBar(axis, x, point),
      ]
    })
    return [`<polyline points="${path}" fill="none" stroke="${colour(i)}" stroke-width="2"/>`, ...dots]
  })
  const ticks = xs.length <= 12 ? xs : linearAxis(last).ticks
  const labels = ticks.map((x) => text(across(x), PLOT.top + PLOT.height + 20, formatNumber(x), 'text-anchor="middle"'))
  return [...shapes, ...labels]
}

function errorBar(axis: Axis, x: number, { low, high }: Point): string[] {
  if (low === undefined || high === undefined || !(high > low)) return []
  const at = round(x)
  return [
    `<line x1="${at}" x2="${at}" y1="${round(down(axis, low))}" y2="${round(down(axis, high))}" stroke="#222" stroke-width="1"/>`,
  ]
}

function legend({ series }: Chart): string[] {
  const left = PLOT.left + PLOT.width + 18
  return series.flatMap(({ name }, i) => {
    const top = PLOT.top + 6 + i * 22
    return [
      `<rect x="${left}" y="${top}" width="13" height="13" fill="${colour(i)}"/>`,
      text(left + 20, top + 11, name),
    ]
  })
}

function highest(chart: Chart, categories: readonly (number | string)[]): number {
  const points = finitePoints(chart)
  const stack = (category: number | string) =>
    points.filter(({ x }) => x === category).reduce((sum, { y }) => sum + y, 0)
  return Math.max(0, ...(chart.kind === 'stacked' ? categories.map(stack) : points.map(({ y, high }) => high ?? y)))
}

/** Lowest and highest value above 0, for a logarithmic axis. */
function extent(chart: Chart): [number, number] {
  const values = finitePoints(chart)
    .flatMap(({ y, high }) => [y, high ?? y])
    .filter((value) => value > 0)
  return values.length === 0 ? [1, 10] : [Math.min(...values), Math.max(...values)]
}

function finitePoints(chart: Chart): Point[] {
  return chart.series.flatMap(({ points }) => points.filter(({ y }) => Number.isFinite(y)))
}

/** Vertical position in the picture. */
function down(axis: Axis, value: number): number {
  return round(PLOT.top + PLOT.height * (1 - axis.position(value)))
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(content)}</text>`
}

function colour(i: number): string {
  return COLOURS[i % COLOURS.length] ?? COLOURS[0]
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
