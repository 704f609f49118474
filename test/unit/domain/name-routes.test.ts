import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NameRoutes, prefixProblem } from '../../../src/domain/name-routes.ts'

const routes = new NameRoutes(['', 'acme', 'acme/eu', 'bolt/one/deep'].map((prefix) => ({ prefix })))

describe('routes of names', () => {
  it('go to the longest prefix that is whole segments of the name, or all of it', () => {
    for (const [name, prefix] of [
      ['acme', 'acme'],
      ['acme/churn', 'acme'],
      ['acme/eu', 'acme/eu'],
      ['acme/eu/churn', 'acme/eu'],
      ['acme/europe', 'acme'],
      ['acmeeu/churn', ''],
      ['bolt/one', ''],
      ['bolt/one/deep/er', 'bolt/one/deep'],
      ['', ''],
    ] as const)
      assert.equal(routes.of(name)?.prefix, prefix, name)
  })

  it('lead nowhere for a name that no prefix fits', () => {
    assert.equal(new NameRoutes([{ prefix: 'acme' }]).of('bolt/churn'), undefined)
  })

  it('are not made of two with the same prefix', () => {
    assert.throws(() => new NameRoutes([{ prefix: 'acme' }, { prefix: 'acme' }]), TypeError)
  })

  it('have prefixes that names can begin with', () => {
    for (const good of ['acme', 'acme/eu', 'infer', 'a/b/c']) assert.equal(prefixProblem(good), undefined, good)
    for (const bad of ['', '/', 'acme/', '/acme', 'acme//eu', 'acme:1', 'a@b', '..', 'a/b/c/d', ' acme', 'a\n'])
      assert.notEqual(prefixProblem(bad), undefined, bad)
  })
})
