import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CompileGate } from '../../../src/artifact/compile-gate.ts'

/** Work that ends when it is told to, and notes when it begins and ends. */
function work(log: string[], name: string) {
  const { promise, resolve } = Promise.withResolvers<void>()
  const run = async () => {
    log.push(`${name} begins`)
    await promise
    log.push(`${name} ends`)
  }
  return { run, end: resolve }
}

test('compiles run together; a removal waits for those under way, and later ones wait for the removal', async () => {
  const gate = new CompileGate()
  const log: string[] = []
  const [first, second, removal, later] = ['first', 'second', 'removal', 'later'].map((name) => work(log, name)) as [
    ReturnType<typeof work>,
    ReturnType<typeof work>,
    ReturnType<typeof work>,
    ReturnType<typeof work>,
  ]
  const all = [gate.compile(first.run), gate.compile(second.run), gate.remove(removal.run), gate.compile(later.run)]
  assert.equal(gate.isIdle, false)
  later.end()
  removal.end()
  second.end()
  await all[1]
  first.end()
  await Promise.all(all)
  assert.deepEqual(log, [
    'first begins',
    'second begins',
    'second ends',
    'first ends',
    'removal begins',
    'removal ends',
    'later begins',
    'later ends',
  ])
  assert.equal(gate.isIdle, true)
})

test('removals take turns, and one that fails opens the gate all the same', async () => {
  const gate = new CompileGate()
  const log: string[] = []
  const failing = gate.remove(() => Promise.reject(new Error('no disk')))
  const second = gate.remove(() => Promise.resolve(log.push('removed')))
  const compiled = gate.compile(() => Promise.resolve(log.push('compiled')))
  await assert.rejects(failing, /no disk/)
  await Promise.all([second, compiled])
  assert.deepEqual(log, ['removed', 'compiled'])
})

test('a compile that fails lets the removal that waits for it go on', async () => {
  const gate = new CompileGate()
  const compile = gate.compile(() => Promise.reject(new Error('no model')))
  const removal = gate.remove(() => Promise.resolve('removed'))
  await assert.rejects(compile, /no model/)
  assert.equal(await removal, 'removed')
})

test('a removal for later makes no compile wait in line, runs once when none is under way, and then lets none begin', async () => {
  const gate = new CompileGate()
  const log: string[] = []
  const first = work(log, 'first')
  const second = work(log, 'second')
  const removal = work(log, 'removal')
  const compiles = [gate.compile(first.run)]
  gate.removeLater(removal.run)
  gate.removeLater(removal.run)
  compiles.push(gate.compile(second.run))
  first.end()
  await compiles[0]
  second.end()
  await compiles[1]
  const third = gate.compile(() => Promise.resolve(log.push('third')))
  removal.end()
  await third
  assert.deepEqual(log, [
    'first begins',
    'second begins',
    'first ends',
    'second ends',
    'removal begins',
    'removal ends',
    'third',
  ])
  gate.removeLater(() => Promise.resolve(void log.push('at once')))
  await gate.compile(() => Promise.resolve())
  assert.equal(log.at(-1), 'at once')
})
