import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { linearAxis, logAxis } from '../../../../loadtest/report/axis.ts'
import { type BenchResult, type Chart, isMet } from '../../../../loadtest/report/bench-result.ts'
import { formatCell, formatNumber } from '../../../../loadtest/report/format.ts'
import { ProgressLine, progressBar } from '../../../../loadtest/report/progress-line.ts'
import { renderChart } from '../../../../loadtest/report/svg.ts'
import { renderResult, renderTable } from '../../../../loadtest/report/table.ts'

const RESULT: BenchResult = {
  bench: 'B0',
  question: 'does it print?',
  command: 'npm run bench -- B0',
  startedAt: '2026-11-20T10:00:00.000Z',
  seconds: 12,
  isQuick: false,
  machine: {
    cpu: 'Test CPU',
    cores: 2,
    memoryBytes: 8 * 2 ** 30,
    system: 'Linux 6.1',
    node: 'v24.0.0',
    onnxruntime: '1.30.0',
  },
  tables: [{ title: 'T', columns: [{ title: 'what' }, { title: 'rps', unit: '1/s' }], rows: [['echo', 51_234]] }],
  gates: [
    { name: 'share', value: 0.42, unit: 'x', limit: 0.3, bound: 'at least' },
    { name: 'added', value: 0.9, unit: 'ms', limit: 0.4, bound: 'at most' },
    { name: 'peer', value: Number.NaN, unit: 'x', limit: 20, bound: 'at least' },
  ],
  charts: [],
  notes: ['a note'],
  wrong: 0,
  errors: 2,
}

describe('figures', () => {
  it('have three significant digits', () => {
    const texts = [51_234, 7, 123.4, 12.345, 1.2345, 0.012345, 0.00012, 0, Number.NaN].map(formatNumber)
    assert.deepEqual(texts, ['51,234', '7', '123', '12.3', '1.23', '0.0123', '1.2e-4', '0', '-'])
  })

  it('show the spread of repetitions and nothing for what was not measured', () => {
    assert.equal(formatCell({ median: 2, min: 1, max: 3, count: 5 }), '2 (1–3)')
    assert.equal(formatCell({ median: 2, min: 2, max: 2, count: 1 }), '2')
    assert.equal(formatCell(undefined), '-')
  })
})

describe('report as text', () => {
  it('is a Markdown table with text on the left and figures on the right', () => {
    const table = renderTable({
      title: 'T',
      columns: [{ title: 'what' }, { title: 'rps', unit: '1/s' }],
      rows: [
        ['echo', 51_234],
        ['modelmux', 1],
      ],
    })
    assert.deepEqual(table.split('\n').slice(2), [
      '| what     | rps [1/s] |',
      '| -------- | --------: |',
      '| echo     |    51,234 |',
      '| modelmux |         1 |',
    ])
  })

  it('says of each gate whether it was met, missed or not measured', () => {
    const rows = renderResult(RESULT).split('\n')
    assert.match(rows.find((row) => row.includes('| share')) ?? '', /0\.420 x +\| at least 0\.300 x +\| yes/)
    assert.match(rows.find((row) => row.includes('| added')) ?? '', /at most 0\.400 ms +\| NO/)
    assert.match(rows.find((row) => row.includes('| peer')) ?? '', /not measured/)
    assert.deepEqual(RESULT.gates.map(isMet), [true, false, undefined])
  })

  it('names machine, command, errors and whether the run was a short one', () => {
    const text = renderResult(RESULT)
    assert.match(text, /Test CPU, 2 cores, 8 GiB, Linux 6\.1, Node v24\.0\.0, ONNX Runtime 1\.30\.0/)
    assert.match(text, /`npm run bench -- B0`/)
    assert.match(text, /Errors: 2\./)
    assert.doesNotMatch(text, /quick run/)
    assert.match(renderResult({ ...RESULT, isQuick: true }), /quick run/)
  })
})

describe('axis', () => {
  it('has round ticks from zero to above the highest value', () => {
    assert.deepEqual(linearAxis(47).ticks, [0, 10, 20, 30, 40, 50])
    assert.deepEqual(linearAxis(0.9).ticks, [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert.equal(linearAxis(50).position(25), 0.5)
    assert.deepEqual(linearAxis(0).ticks.at(-1), 1)
  })

  it('has powers of ten when logarithmic', () => {
    const axis = logAxis(3, 420)
    assert.deepEqual(axis.ticks, [1, 10, 100, 1000])
    assert.ok(Math.abs(axis.position(10) - 1 / 3) < 1e-9)
    assert.equal(axis.position(0), 0)
  })
})

describe('plot', () => {
  const chart = (kind: Chart['kind'], yScale?: 'log'): Chart => ({
    id: 'x',
    title: 'a < b & "c"',
    kind,
    xTitle: 'class',
    yTitle: 'ms',
    ...(yScale === undefined ? {} : { yScale }),
    series: [
      {
        name: 'ours',
        points: [
          { x: 1, y: 4, low: 3, high: 6 },
          { x: 2, y: 8 },
        ],
      },
      {
        name: 'plain',
        points: [
          { x: 1, y: 40 },
          { x: 2, y: Number.NaN },
        ],
      },
    ],
  })

  for (const kind of ['bars', 'stacked', 'lines'] as const) {
    it(`draws ${kind} of every point that was measured, inside the picture`, () => {
      const svg = renderChart(chart(kind))
      assert.equal(svg.match(/<title>/g)?.length, 3)
      assert.match(svg, /a &lt; b &amp; &quot;c&quot;/)
      assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
      for (const [, x] of svg.matchAll(/ (?:x|cx|x1)="([\d.-]+)"/g)) assert.ok(Number(x) >= 0 && Number(x) <= 920)
      for (const [, y] of svg.matchAll(/ (?:y|cy|y1)="([\d.-]+)"/g)) assert.ok(Number(y) >= 0 && Number(y) <= 440)
    })
  }

  it('keeps small and large bars apart on a logarithmic axis', () => {
    const heights = [
      ...renderChart(chart('bars', 'log')).matchAll(/height="([\d.]+)" fill="#(?!fff)[0-9a-f]+"><title>/g),
    ]
    const [four = 0, forty = 0] = heights.map(([, height]) => Number(height))
    assert.ok(four > 20 && forty > four && forty < 6 * four)
  })
})

describe('progress line', () => {
  function written(isTTY: boolean): string {
    let text = ''
    const line = new ProgressLine({ isTTY, columns: 12, write: (part: string) => (text += part) })
    line.show('one')
    line.show('one')
    line.show('a longer line than fits')
    line.clear()
    return text
  }

  it('is written over on a terminal, cut to its width', () => {
    assert.equal(written(true), '\r\u001b[2Kone\r\u001b[2Ka longer li\r\u001b[2K')
  })

  it('is a line of its own elsewhere, said once', () => {
    assert.equal(written(false), 'one\na longer line than fits\n')
  })

  it('does not repeat a line elsewhere because its bar moved', () => {
    let text = ''
    const line = new ProgressLine({ write: (part: string) => (text += part) })
    for (let done = 0; done <= 4; done += 1) line.show(`writing ${progressBar(done, 4)}`)
    assert.equal(text, 'writing\n')
  })

  it('has a bar', () => {
    assert.equal(progressBar(1, 4), '[######..................] 25 %')
    assert.equal(progressBar(0, 0), '[########################] 100 %')
  })
})
