import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Rechecker } from '../../../src/replica/rechecker.ts'
import { manifest } from '../../support/manifest.ts'
import { settle } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'

const MODEL = modelVersion('acme/churn')
const UNCHECKED = manifest('a', { check: 'first-request' })
const REQUEST = { body: [Buffer.from('{"inputs":'), Buffer.from('[]}')], bodyBytes: 13 }

function scene(answer = async () => manifest('a', { check: 'given' })) {
  const asked: unknown[] = []
  const told: string[] = []
  const rechecker = new Rechecker({
    recheck: (_version, request) => {
      asked.push(request)
      return answer()
    },
    onChecked: (_version, { check }) => told.push(check),
    onFailed: () => told.push('failed'),
  })
  return { rechecker, asked, told }
}

describe('the rechecker', () => {
  it('checks an unchecked artifact on the first request that it answered, once', async () => {
    const { rechecker, asked, told } = scene()
    rechecker.note(MODEL, UNCHECKED, REQUEST)
    rechecker.note(MODEL, UNCHECKED, REQUEST)
    await settle()
    rechecker.note(MODEL, UNCHECKED, REQUEST)
    assert.deepEqual(asked, [{ body: Buffer.from('{"inputs":[]}') }])
    assert.deepEqual(told, ['given'])
  })

  it('passes a request with binary tensors on as it came', () => {
    const { rechecker, asked } = scene()
    rechecker.note(MODEL, UNCHECKED, { ...REQUEST, jsonBytes: 10 })
    assert.deepEqual(asked, [{ body: Buffer.from('{"inputs":[]}'), jsonBytes: 10 }])
  })

  it('leaves alone what was checked, and requests that are large', () => {
    const { rechecker, asked } = scene()
    rechecker.note(MODEL, manifest('a'), REQUEST)
    rechecker.note(MODEL, UNCHECKED, { ...REQUEST, bodyBytes: 10_000_000 })
    assert.deepEqual(asked, [])
  })

  it('tells of a check that failed, and does not try the artifact again', async () => {
    const { rechecker, asked, told } = scene(() => Promise.reject(new Error('gone')))
    rechecker.note(MODEL, UNCHECKED, REQUEST)
    await settle()
    rechecker.note(MODEL, UNCHECKED, REQUEST)
    assert.equal(asked.length, 1)
    assert.deepEqual(told, ['failed'])
  })
})
