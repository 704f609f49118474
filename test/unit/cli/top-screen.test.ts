import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ASCII, UNICODE } from '../../../src/cli/figures.ts'
import { columnsOf, withoutColours } from '../../../src/cli/text.ts'
import { History } from '../../../src/cli/top-history.ts'
import type { Screen } from '../../../src/cli/top-screen.ts'
import { topLines } from '../../../src/cli/top-screen.ts'
import { overviewOf } from '../../support/overview.ts'

const WIDE: Screen = { width: 140, height: 60, hasColours: false, glyphs: UNICODE }

function show(screen: Partial<Screen> = {}, overview = overviewOf(), problem?: string): string[] {
  const history = new History()
  for (const requestsPerSecond of [0, 100, 400, 412])
    history.add({ ...overview, traffic: { ...overview.traffic, requestsPerSecond } })
  return topLines({ overview, history, url: 'http://127.0.0.1:8080', problem }, { ...WIDE, ...screen })
}

function find(lines: readonly string[], text: string): string {
  const line = lines.find((one) => one.includes(text))
  assert.ok(line !== undefined, `${text} is shown in\n${lines.join('\n')}`)
  return line
}

describe('the screen of top', () => {
  it('shows who serves, how much, how fast, and how well', () => {
    const [first = '', second = ''] = show()
    assert.equal(first, 'modelmux 1.2.3 · replica-1a2b3c4d · up 3m 07s · http://127.0.0.1:8080')
    assert.equal(
      second,
      '412 req/s ▁▃█▄   p50 2.1 ms   p99 18 ms   hits 99.2%   81k answered, 3 failed   32 in flight'.replace(
        '▁▃█▄',
        '▁▃██',
      ),
    )
  })

  it('shows models by heat with their bars, state, latencies, outcomes, errors, bytes, workers and queue', () => {
    const lines = show()
    assert.equal(find(lines, 'MODELS'), 'MODELS 1000 known, 312 in memory, * pinned')
    const busy = find(lines, 'customer-0001/churn:1')
    assert.match(busy, /^ {3}120 {2}█{8} {2}████ /)
    assert.match(busy, /ready +0\.80 +3\.2 +█+▓▒ 98% +0 +200 KiB +8\.0 MiB +2 +7/)
    assert.match(find(lines, ' *customer-0002/churn:3 '), /compiling/)
    assert.match(find(lines, 'broken/model:1'), /failed +- +- +4 /)
  })

  it('shows workers, the ledger by kind, queue and compilers', () => {
    const lines = show()
    assert.equal(find(lines, 'WORKERS'), 'WORKERS 1 of 2 up')
    assert.match(find(lines, 'worker-0'), /up +█{14}▊ +92% +120 MiB +300 +1\.2k +0 +0 +4001/)
    assert.match(find(lines, 'worker-1'), /down +- +0 B +0 +0 +12 +1 +-/)
    assert.match(find(lines, 'MEMORY'), /^MEMORY 1\.2 GiB of 4\.0 GiB \(31%\) █+▓+·+$/)
    assert.match(find(lines, 'blobs'), /█ private 400 MiB {2}▓ blobs 876 MiB/)
    assert.equal(find(lines, 'QUEUE'), 'QUEUE  12 requests, 1.2 MiB   loads 3   compilers small 1+4, big 0')
  })

  it('ends with the latest events, in their order', () => {
    const lines = show()
    assert.deepEqual(
      lines.slice(-2).map((line) => line.slice(0, 60)),
      [
        '02:11:04 model.evicted key=customer-0042/churn:1 reason=memo',
        '02:11:05 worker.down worker=worker-1 signal=SIGKILL',
      ],
    )
  })

  it('is never wider or taller than the terminal, in colours or without, whatever a name holds', () => {
    const base = overviewOf()
    const [model] = base.models.hottest
    assert.ok(model !== undefined)
    const names = [
      'x'.repeat(300),
      '模型'.repeat(60),
      'e\u0301'.repeat(90),
      'a\u001b[2J\u001b[31m\r\nb',
      '\u202eabc',
      '🧪'.repeat(50),
    ]
    const steering = '\u001b]0;title\u0007\u009b2J'
    const overview = {
      ...base,
      server: { ...base.server, version: steering, replica: steering },
      ledger: { ...base.ledger, bytesByKind: { ...base.ledger.bytesByKind, [steering]: 1 } },
      compilers: [{ lane: steering, running: 1, waiting: 0 }],
      models: { ...base.models, hottest: [...names.map((name) => ({ ...model, name })), ...base.models.hottest] },
      events: base.events.map((event) => ({ ...event, fields: { text: names.join(' ') } })),
    }
    for (const glyphs of [UNICODE, ASCII]) {
      for (const hasColours of [true, false]) {
        for (const width of [1, 2, 10, 20, 39, 40, 60, 79, 80, 100, 120, 200, 400]) {
          for (const height of [1, 2, 5, 10, 24, 50, Number.POSITIVE_INFINITY]) {
            const lines = show({ width, height, hasColours, glyphs }, overview)
            assert.ok(lines.length <= height)
            for (const line of lines) {
              const plain = withoutColours(line)
              assert.ok(columnsOf(plain) <= width, `${columnsOf(plain)} columns of ${width}: ${plain}`)
              assert.doesNotMatch(plain, /[\p{C}]/u)
              if (!hasColours) assert.equal(plain, line)
              if (glyphs === ASCII && !names.some((name) => plain.includes(name.slice(0, 1))))
                assert.match(plain, /^[\x20-\x7e]*$/)
            }
          }
        }
      }
    }
  })

  it('keeps what matters most where it is narrow, and some of everything where it is low', () => {
    const narrow = show({ width: 60 })
    assert.match(find(narrow, 'customer-0001'), /120 .*customer-0001\/churn:1 .*ready/)
    const low = show({ height: 24 })
    for (const text of [
      'req/s',
      'MODELS',
      'customer-0001',
      'WORKERS',
      'worker-0',
      'MEMORY',
      'QUEUE',
      'EVENTS',
      'worker.down',
    ])
      find(low, text)
  })

  it('shows everything there is where there is room', () => {
    const overview = overviewOf()
    const [model, worker] = [overview.models.hottest[0], overview.workers[0]]
    assert.ok(model !== undefined && worker !== undefined)
    const many = {
      ...overview,
      models: { ...overview.models, hottest: Array.from({ length: 60 }, (_, i) => ({ ...model, name: `m-${i}` })) },
      workers: Array.from({ length: 9 }, (_, i) => ({ ...worker, id: `worker-${i}` })),
    }
    const lines = show({ height: Number.POSITIVE_INFINITY }, many)
    for (let i = 0; i < 60; i++) find(lines, ` m-${i}:1 `)
    for (let i = 0; i < 9; i++) find(lines, `worker-${i}`)
    const few = show({ height: 26 }, many)
    assert.match(find(few, 'WORKERS'), /9 of 9 up, the busiest \d/)
    assert.equal(few.length, 26)
  })

  it('says that the server is gone and keeps what it told last', () => {
    const lines = show({}, overviewOf(), 'no connection (ECONNREFUSED)')
    assert.equal(lines[1], 'no connection (ECONNREFUSED)')
    find(lines, 'customer-0001')
    const none = topLines({ overview: undefined, history: new History(), url: 'http://h', problem: undefined }, WIDE)
    assert.match(none.join('\n'), /http:\/\/h: waiting for the first answer/)
  })
})

describe('History', () => {
  it('keeps the latest points of what is on the screen, and begins anew with the server', () => {
    const overview = overviewOf()
    const history = new History()
    for (let i = 0; i < 40; i++) history.add(overview)
    const [model] = overview.models.hottest
    assert.ok(model !== undefined)
    assert.deepEqual([history.total.length, history.ofModel(model).length], [24, 8])
    history.add({ ...overview, models: { ...overview.models, hottest: [] } })
    assert.deepEqual(history.ofModel(model), [])
    history.add({ ...overview, server: { ...overview.server, uptimeSeconds: 1 } })
    assert.equal(history.total.length, 1)
  })
})
