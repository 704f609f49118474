import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { it } from 'node:test'
import { answerBadConnection } from '../../../src/http/bad-connection.ts'
import { ManualClock } from '../../support/manual-clock.ts'

it('closes the connection after its answer even if the client never closes its side', async () => {
  const clock = new ManualClock()
  let sent = ''
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent += chunk.toString()
      done()
    },
  })
  answerBadConnection(new Error('bad'), socket, clock)
  await once(socket, 'finish')
  assert.match(sent, /^HTTP\/1\.1 400 /)
  assert.equal(socket.destroyed, false)
  clock.tick(2000)
  assert.equal(socket.destroyed, true)
})
