/** A child that answers every call with nothing and does not mind that its channel closes. */
import { serveCalls } from '../../../src/child/calls.ts'
import { parentChannel } from '../../../src/child/spawn.ts'

serveCalls(
  parentChannel(),
  () => [],
  () => {},
)
setInterval(() => {}, 1000)
