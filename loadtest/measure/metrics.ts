/** Reads a server's `/metrics`: the Prometheus text format, as far as counters and gauges go. */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export class MetricsSnapshot {
  readonly #samples: readonly Sample[]

  constructor(samples: readonly Sample[]) {
    this.#samples = samples
  }

  static parse(text: string): MetricsSnapshot {
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return new MetricsSnapshot(lines.flatMap((line) => parseSample(line) ?? []))
  }

  /** Sum over all samples of the name whose labels include `labels`; 0 when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0
    for (const sample of this.#samples) {
      if (sample.name !== name) continue
      if (Object.entries(labels).every(([label, value]) => sample.labels[label] === value)) sum += sample.value
    }
    return sum
  }

  /** Values by one label, summed over the others. */
  by(name: string, label: string): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const sample of this.#samples) {
      const value = sample.labels[label]
      if (sample.name === name && value !== undefined) sums[value] = (sums[value] ?? 0) + sample.value
    }
    return sums
  }
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

function parseSample(line: string): Sample | undefined {
  const match = SAMPLE.exec(line)
  if (match === null) return undefined
  const [, name = '', labels = '', value = ''] = match
  const pairs = [...labels.matchAll(LABEL)].map(([, label = '', text = '']) => [label, unescapeLabel(text)])
  return { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: numberOf(value) }
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text)
}

function unescapeLabel(text: string): string {
  return text.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
}
