import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ServerProcess } from '../../../loadtest/bench/server-process.ts'
import { generateLoad } from '../../../loadtest/generator/load-generator.ts'

const ECHO = fileURLToPath(new URL('../../../loadtest/bench/echo-main.ts', import.meta.url))

describe('server process', () => {
  it('is ready when it says where it listens, answers, and ends when stopped', async () => {
    const server = await ServerProcess.start([ECHO, '300'])
    const report = await generateLoad({
      target: server.target,
      groups: [{ className: 'XS', family: 'head', seed: 1, customers: 3 }],
      encoding: 'binary',
      rows: 1,
      inputsPerModel: 2,
      popularity: { kind: 'uniform' },
      pace: { kind: 'closed', connections: 2 },
      seed: 1,
      warmUpSeconds: 0,
      seconds: 20,
      maxRequests: 200,
      timeoutMs: 5000,
      check: 'status',
      serverPid: server.pid,
      progressMs: 0,
    })
    assert.deepEqual([report.answered, report.errors], [200, {}])
    assert.equal(await server.stop(), 0)
    assert.equal(await server.stop(), 0)
  })

  it('says what the program wrote when it ends before it listens', async () => {
    const program = "console.error('no such folder'); process.exit(3)"
    await assert.rejects(ServerProcess.start(['-e', program]), /did not start:\nno such folder/)
  })
})
