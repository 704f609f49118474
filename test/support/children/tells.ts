/** A child that answers a call with what it is: its environment, its arguments, its priority. */
import { getPriority } from 'node:os'
import { serveCalls } from '../../../src/child/calls.ts'
import { parentChannel } from '../../../src/child/spawn.ts'

serveCalls(
  parentChannel(),
  () => [Buffer.from(JSON.stringify({ env: process.env, args: process.argv.slice(2), priority: getPriority() }))],
  () => {},
)
process.stdout.write('on stdout\n')
process.stderr.write('on stderr\nwithout an end')
