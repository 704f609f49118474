import assert from 'node:assert/strict'
import { it } from 'node:test'
import { nameFilter } from '../../../src/domain/mlflow-filter.ts'

it('filters by a name in the quotes that it does not have, and by none that has both', () => {
  assert.equal(nameFilter('acme churn'), "name='acme churn'")
  assert.equal(nameFilter('a"b'), `name='a"b'`)
  assert.equal(nameFilter("o'hara"), `name="o'hara"`)
  assert.equal(nameFilter(`o'hara "b"`), undefined)
})
