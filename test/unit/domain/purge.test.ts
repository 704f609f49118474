import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isPurged, isPurgedKey, mentions } from '../../../src/domain/purge.ts'

const CHURN = { name: 'acme/churn', isTenant: false }
const ACME = { name: 'acme', isTenant: false }
const TENANT = { name: 'acme', isTenant: true }

describe('whom a purge is about', () => {
  it('is one name, or all names of a tenant', () => {
    assert.deepEqual(
      ['acme/churn', 'acme', 'acme/churn/eu', 'acme-2/churn'].map((name) => [
        isPurged(CHURN, name),
        isPurged(ACME, name),
        isPurged(TENANT, name),
      ]),
      [
        [true, false, true],
        [false, true, true],
        [false, false, true],
        [false, false, false],
      ],
    )
    assert.equal(isPurgedKey(CHURN, 'acme/churn:7#00ff'), true)
    for (const key of ['acme/churn-2:7#00ff', 'acme/churn', 'acme/churn:x#00ff', ''])
      assert.equal(isPurgedKey(CHURN, key), false, key)
  })

  it('is found in a text as a whole name and not as a part of another', () => {
    for (const text of [
      'acme/churn',
      'acme/churn:7',
      'acme/churn:7#00ff',
      'acme/churn@champion',
      'acme/churn/7/model.onnx',
      'acme/churn/aliases.json',
      `version 7 of 'acme/churn' cannot be fetched`,
      'it is acme/churn.',
      'acme/churn-2 and acme/churn',
    ])
      assert.equal(mentions(CHURN, text), true, text)
    for (const text of ['acme/churn-2', 'big/acme/churn', 'acme/churn.old', 'acme/churn/eu', 'acme/churns', 'acme', ''])
      assert.equal(mentions(CHURN, text), false, text)
    for (const text of ['acme', 'acme/7', `'acme'`]) assert.equal(mentions(ACME, text), true, text)
    for (const text of ['acme/churn', 'acme-2', 'macme']) assert.equal(mentions(ACME, text), false, text)
    for (const text of ['acme', 'acme/churn:7', `of 'acme/churn/eu'`]) assert.equal(mentions(TENANT, text), true, text)
    for (const text of ['acme-2/churn', 'big/acme', 'acmes']) assert.equal(mentions(TENANT, text), false, text)
  })
})
