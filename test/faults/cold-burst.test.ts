/** A thousand requests at once for one model that nobody has compiled: one compile, bounded waiting, an answer for each. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Customers } from '../support/customers.ts'
import { compiledNames } from '../support/server-logs.ts'
import { ServerProcess } from '../support/server-process.ts'

const REQUESTS = 1000
const MAX_WAITERS = 400

it('a thousand requests for one cold model cost one compile; as many wait as may, the others are told to come back', async (context) => {
  const customers = await Customers.make(1)
  context.after(() => customers.remove())
  const server = await ServerProcess.start({
    models: customers.folder.dir,
    args: ['--workers', '1'],
    config: {
      store: { settleMs: 0 },
      scheduler: { maxLoadWaiters: MAX_WAITERS, maxQueuedPerModel: 2 * REQUESTS },
      telemetry: { requestLogSample: 0 },
    },
  })
  context.after(() => server.stop())
  await server.logs('registry.scanned')
  const answers = await Promise.all(Array.from({ length: REQUESTS }, () => customers.ask(server, 1)))
  const refused = answers.filter(({ status }) => status !== 200)
  for (const { status, json, headers } of refused) {
    assert.deepEqual([status, json.code], [503, 'OVERLOADED'])
    assert.notEqual(headers['retry-after'], undefined)
  }
  assert.ok(answers.length - refused.length >= MAX_WAITERS, `only ${answers.length - refused.length} were answered`)
  assert.equal(await customers.askRight(server, 1), 'hit')
  await server.stop()
  assert.deepEqual(compiledNames(server), [customers.nameOf(1)])
})
