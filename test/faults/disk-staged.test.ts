/** A disk that fetched files have filled: they go before anything that is compiled. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Customers } from '../support/customers.ts'
import { mountProblem, PrivateMount } from '../support/private-mount.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
/** Of some 80 KB each, fetched and compiled once more: together they are more than the disk holds, the compiled ones alone are not. */
const CUSTOMERS = 24
const DISK = '3m'

describe('a disk full of fetched files', { skip: noS3Server || (mountProblem() ?? false) }, () => {
  let s3: S3Server
  let customers: Customers

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    customers = await Customers.make(CUSTOMERS, 'full')
    for (let one = 1; one <= CUSTOMERS; one++) {
      const file = join(customers.folder.path(customers.nameOf(one), '1'), 'model.onnx')
      await s3.putFile(BUCKET, `${customers.nameOf(one)}/1/model.onnx`, file)
    }
  })
  after(async () => {
    await customers.remove()
    await s3.stop()
  })

  it('takes every new model, and loses none that is compiled', async (context) => {
    const mount = await PrivateMount.make(DISK)
    context.after(() => mount.close())
    const server = await ServerProcess.start({
      models: `s3://${BUCKET}/`,
      cache: join(mount.dir, 'cache'),
      prefix: mount.prefix,
      config: {
        store: { settleMs: 0, s3: { endpoint: s3.endpoint, pathStyle: true } },
        // No reserve, so that the disk itself says when it is full.
        cache: { minFreeDiskBytes: 0 },
        artifact: { probe: false },
        telemetry: { journalBytes: 0 },
      },
      args: ['--workers', '1'],
      env: s3.env,
    })
    context.after(() => server.stop())
    await server.logs('registry.scanned')
    for (let one = 1; one <= CUSTOMERS; one++) assert.equal(await customers.askRight(server, one), 'compile')
    for (let one = 1; one <= CUSTOMERS; one++) assert.equal(await customers.askRight(server, one), 'hit')
    const metrics = await server.metrics()
    assert.equal(metrics.get('modelmux_artifacts{form="mapped"}'), CUSTOMERS)
    const kept = metrics.get('modelmux_disk_bytes{kind="sources"}') ?? 0
    const fetched = server.logged('source.fetched').reduce((sum, { bytes }) => sum + Number(bytes), 0)
    assert.ok(kept > 0 && kept < fetched, `${kept} of ${fetched} bytes are kept`)
    assert.ok(server.logged('sources.evicted').length > 0)
    assert.deepEqual(server.logged('artifacts.evicted'), [])
  })
})
