import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ByteWindow, FieldCursor, packedVarints, WireError } from '../../../src/artifact/wire.ts'
import { bytesField, PieceList, textField, varint, varintField } from '../../../src/artifact/wire-write.ts'

function fields(bytes: Buffer) {
  const found: { number: number; value: number; payload: number; end: number }[] = []
  const field = new FieldCursor(ByteWindow.ofBuffer(bytes), 0, bytes.length)
  while (field.next()) found.push({ number: field.number, value: field.value, payload: field.payload, end: field.end })
  return found
}

describe('FieldCursor', () => {
  test('reads numbers of any size, negative ones as signed', () => {
    const negative = Buffer.from([0x08, ...Array.from({ length: 9 }, () => 0xff), 0x01])
    assert.equal(fields(negative)[0]?.value, -1)
    for (const value of [0, 127, 128, 300, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      assert.equal(fields(varintField(1, value))[0]?.value, value)
    }
  })

  test('skips fixed and length-delimited fields without reading them', () => {
    const bytes = Buffer.concat([Buffer.from([0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]), textField(3, 'abc')])
    assert.deepEqual(
      fields(bytes).map((field) => [field.number, field.end - field.payload]),
      [
        [1, 4],
        [2, 8],
        [3, 3],
      ],
    )
  })

  const BROKEN: Readonly<Record<string, number[]>> = {
    'a length past the end': [0x0a, 0x05, 0x61],
    'a number cut in half': [0x08, 0x80],
    'a number of eleven bytes': [0x08, ...Array.from({ length: 11 }, () => 0x80)],
    'a group': [0x0b],
    'field number 0': [0x00, 0x01],
    'a negative length': [0x0a, ...Array.from({ length: 9 }, () => 0xff), 0x01],
    'fixed64 cut short': [0x09, 1, 2],
  }
  for (const [what, bytes] of Object.entries(BROKEN)) {
    test(`refuses ${what}`, () => {
      assert.throws(() => fields(Buffer.from(bytes)), WireError)
    })
  }
})

test('a window over a file gives what memory gives, across its edges', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'modelmux-wire-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const bytes = Buffer.concat(
    Array.from({ length: 9_000 }, (_, i) => (i % 3 === 0 ? textField(2, 'x'.repeat(i % 500)) : varintField(1, i))),
  )
  writeFileSync(join(dir, 'file'), bytes)
  const fd = openSync(join(dir, 'file'), 'r')
  t.after(() => closeSync(fd))
  const inFile = new FieldCursor(ByteWindow.ofFile(fd, bytes.length), 0, bytes.length)
  const inMemory = new FieldCursor(ByteWindow.ofBuffer(bytes), 0, bytes.length)
  let count = 0
  while (inMemory.next()) {
    assert.ok(inFile.next())
    assert.deepEqual([inFile.number, inFile.value, inFile.end], [inMemory.number, inMemory.value, inMemory.end])
    if (inMemory.number === 2) assert.equal(inFile.text(), inMemory.text())
    count++
  }
  assert.equal(count, 9_000)
  assert.equal(inFile.next(), false)
})

test('packed numbers come out signed, and a cut one is refused', () => {
  const packed = Buffer.concat([varint(3), varint(300), Buffer.from([...Array.from({ length: 9 }, () => 0xff), 0x01])])
  assert.deepEqual([...packedVarints(ByteWindow.ofBuffer(packed), 0, packed.length)], [3n, 300n, -1n])
  assert.throws(() => [...packedVarints(ByteWindow.ofBuffer(Buffer.from([0x80])), 0, 1)], WireError)
})

test('pieces keep the order of what is new and what is copied, and join ranges that touch', () => {
  const inner = new PieceList()
  inner.addRange(0, 10)
  inner.addRange(10, 20)
  inner.add(bytesField(1, Buffer.from('ab')))
  assert.equal(inner.pieces.length, 2)
  const outer = new PieceList()
  outer.addMessage(7, inner)
  assert.equal(outer.bytes, 2 + inner.bytes)
  assert.deepEqual(outer.pieces[1], { start: 0, end: 20 })
})
