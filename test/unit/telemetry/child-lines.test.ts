import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ChildLines, parseChildLine } from '../../../src/telemetry/child-lines.ts'
import type { EventFields } from '../../../src/telemetry/log.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const ESC = String.fromCharCode(27)
const WARNING = `${ESC}[0;93m2026-11-03 12:00:00.123456789 [W:onnxruntime:session-7, graph.cc:4285 CleanUnusedInitializers] Removing initializer 'x'.${ESC}[m`

function record(): { logged: [string, EventFields, string | undefined][]; lines: ChildLines; clock: ManualClock } {
  const logged: [string, EventFields, string | undefined][] = []
  const clock = new ManualClock()
  const log = { event: (name: string, fields: EventFields = {}, level?: string) => logged.push([name, fields, level]) }
  return { logged, clock, lines: new ChildLines(log, clock, { linesPerSecond: 1, burst: 2 }) }
}

describe('lines of child processes', () => {
  it("takes ONNX Runtime's coloured lines apart", () => {
    assert.deepEqual(parseChildLine(WARNING), {
      level: 'info',
      fields: {
        source: 'onnxruntime',
        logger: 'session-7',
        code: { file: 'graph.cc', line: 4285, function: 'CleanUnusedInitializers' },
        text: "Removing initializer 'x'.",
      },
    })
  })

  it('keeps functions and messages with brackets, and errors above warnings', () => {
    const line =
      '2026-11-03 12:00:00.1 [E:onnxruntime:, sequential_executor.cc:572 onnxruntime::ExecuteKernel(int)] Non-zero status [a] returned'
    const { level, fields } = parseChildLine(line)
    assert.equal(level, 'warn')
    assert.equal(fields.text, 'Non-zero status [a] returned')
    assert.equal('logger' in fields, false)
  })

  it('passes any other line as it is, without colours and cut at a length', () => {
    assert.deepEqual(parseChildLine(`${ESC}[31mterminate called${ESC}[0m`), {
      level: 'warn',
      fields: { text: 'terminate called' },
    })
    assert.equal(String(parseChildLine('y'.repeat(10_000)).fields.text).length, 2000)
  })

  it('logs lines with the name of the child, and no empty ones', () => {
    const { logged, lines } = record()
    lines.line('worker-0', WARNING)
    lines.line('worker-0', '  ')
    assert.equal(logged.length, 1)
    assert.equal(logged[0]?.[0], 'child.line')
    assert.equal(logged[0]?.[1].child, 'worker-0')
    assert.equal(logged[0]?.[2], 'info')
  })

  it('cuts a flood off for that child alone, and tells later how much was lost', () => {
    const { logged, lines, clock } = record()
    for (let i = 0; i < 10; i++) lines.line('worker-0', `line ${i}`)
    lines.line('worker-1', 'quiet one')
    assert.equal(logged.length, 3)
    clock.tick(1000)
    lines.line('worker-0', 'later')
    assert.deepEqual(logged.slice(3), [
      ['child.lines-dropped', { child: 'worker-0', lines: 8 }, undefined],
      ['child.line', { child: 'worker-0', text: 'later' }, 'warn'],
    ])
  })

  it('tells what was lost when the child ends, and forgets it', () => {
    const { logged, lines } = record()
    for (let i = 0; i < 5; i++) lines.line('worker-0', `line ${i}`)
    lines.end('worker-0')
    lines.end('worker-0')
    assert.deepEqual(logged.slice(2), [['child.lines-dropped', { child: 'worker-0', lines: 3 }, undefined]])
    lines.line('worker-0', 'reborn')
    assert.equal(logged.length, 4)
  })
})
