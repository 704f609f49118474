import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { GatewayError } from '../../../src/domain/errors.ts'
import {
  aliasProblem,
  formatModelRef,
  nameProblem,
  parseModelRef,
  printable,
  ROUTE_WORDS,
  tenantOf,
} from '../../../src/domain/model-ref.ts'

describe('parseModelRef', () => {
  it('reads a name, a version after a colon and an alias after an at sign', () => {
    assert.deepEqual(parseModelRef('churn'), { name: 'churn' })
    assert.deepEqual(parseModelRef('acme/churn:7'), { name: 'acme/churn', version: '7' })
    assert.deepEqual(parseModelRef('acme/eu/churn@champion'), { name: 'acme/eu/churn', alias: 'champion' })
  })

  it('accepts what registries accept: blanks inside, leading underscores, any script in normal form C', () => {
    for (const name of ['my model', '_private', 'Modèle', '模型/顧客', 'a.b-c_d+e', 'x'.repeat(128)]) {
      assert.deepEqual(parseModelRef(name), { name })
    }
  })

  it('refuses a version that is not digits and an alias that is not a segment', () => {
    for (const ref of [
      'm:',
      'm:v1',
      'm:1.0',
      'm:-1',
      'm:1234567890123456789',
      'm@',
      'm@a/b',
      'm@a:b',
      'm:1@b',
      'm@..',
    ]) {
      assert.throws(() => parseModelRef(ref), isBadRef, ref)
    }
  })

  it('never lets a path be climbed, a URL be re-read or a log line be broken', () => {
    const refused = [
      '',
      '.',
      '..',
      'a/..',
      '../a',
      'a//b',
      '/a',
      'a/',
      'a\\b',
      'a%2fb',
      'a?b',
      'a#b',
      'a\0b',
      'a\nb',
      'a\u202Eb',
      'a\u200Bb',
      'a\uD800b',
      ' a',
      'a ',
      'a/ b',
      'a\u00A0',
      'Mode\u0300le',
      'a/b/c/d/e',
      'x'.repeat(129),
      '模'.repeat(43),
      `${'x'.repeat(100)}/${'y'.repeat(100)}/${'z'.repeat(100)}`,
    ]
    for (const name of refused) assert.throws(() => parseModelRef(name), isBadRef, JSON.stringify(name))
  })

  it('refuses a name that ends with a word of the URLs, but not one that begins with it', () => {
    for (const word of ROUTE_WORDS) {
      assert.match(nameProblem(`acme/${word}`) ?? '', /word of the URL/)
      assert.equal(nameProblem(`${word}/acme`), undefined)
    }
  })

  it('refuses a name that a URL would read as a version of another', () => {
    for (const name of ['acme/versions/7', 'a/b/versions/x'])
      assert.match(nameProblem(name) ?? '', /a version in a URL/)
    for (const name of ['versions/7', 'acme/versions/a/b']) assert.equal(nameProblem(name), undefined)
  })

  it('gives back every ref that it formats', () => {
    const segment = fc.stringMatching(/^[a-zA-Z0-9_.äß模 -]{1,30}$/)
    const name = fc
      .array(segment, { minLength: 1, maxLength: 4 })
      .map((segments) => segments.join('/'))
      .filter((text) => nameProblem(text) === undefined)
    const alias = segment.filter((text) => aliasProblem(text) === undefined)
    const ref = fc.oneof(
      fc.record({ name }),
      fc.record({ name, version: fc.stringMatching(/^[0-9]{1,18}$/) }),
      fc.record({ name, alias }),
    )
    fc.assert(fc.property(ref, (given) => assert.deepEqual(parseModelRef(formatModelRef(given)), { ...given })))
  })

  it('answers any text with a ref or BAD_MODEL_REF, and shows it on one line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        try {
          const { name } = parseModelRef(text)
          assert.equal(nameProblem(name), undefined)
        } catch (error) {
          assert.ok(isBadRef(error))
          assert.doesNotMatch((error as Error).message, /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u)
        }
      }),
    )
  })
})

describe('tenantOf', () => {
  it('is the first of several segments, and the name itself when there is one', () => {
    assert.equal(tenantOf('acme/churn'), 'acme')
    assert.equal(tenantOf('acme/eu/churn'), 'acme')
    assert.equal(tenantOf('churn'), 'churn')
  })
})

describe('printable', () => {
  it('escapes what could break a line or hide text, and bounds the length', () => {
    assert.equal(printable('a\nb\u202Ec'), 'a\\u000ab\\u202ec')
    assert.equal(printable('x'.repeat(500)).length, 201)
  })
})

function isBadRef(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'BAD_MODEL_REF'
}
