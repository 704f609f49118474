/** Entry point of a worker process. It ends when its channel closes, because nothing else keeps it alive. */
import { serveCalls } from '../child/calls.ts'
import { parentChannel } from '../child/spawn.ts'
import { systemClock } from '../lib/clock.ts'
import { CommandServer } from './command-server.ts'

const server = new CommandServer(systemClock)
serveCalls(parentChannel(), server.handle, server.end)
