/**
 * Offers to change the protocol, which HTTP lets a server pass over; some clients make one with every request (Java's does, of HTTP/2).
 * Node passes over them too, but loses what came behind such a request in the same packet: the next request, or its first half. So the
 * connection is given back to the server from the start of the request, with the offer struck out.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { answerUnderWay } from './answer-under-way.ts'
import { refuseTunnel } from './bad-connection.ts'

/** Headers, and options of `Connection`, that belong to an offer. */
const OFFER: ReadonlySet<string> = new Set(['upgrade', 'http2-settings'])

/** `shouldUpgradeCallback` of the server: is the request handed to the `upgrade` listener? */
export function isOfferTaken({ socket }: IncomingMessage): boolean {
  if (answerUnderWay(socket) === undefined) return true
  // Behind requests that are still being answered there is no clean way, and no client that offers this sends ahead.
  socket.destroy()
  return false
}

export function declineUpgrades(server: Server, clock: Clock): void {
  server.on('upgrade', (request: IncomingMessage, socket: Socket, rest: Buffer) => {
    socket.unshift(Buffer.concat([Buffer.from(headWithoutOffer(request), 'latin1'), rest]))
    server.emit('connection', socket)
  })
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // Answers to requests before it are lost: a client that tunnels sends nothing else.
    if (answerUnderWay(socket) === undefined) refuseTunnel(socket, clock)
    else socket.destroy()
  })
}

/** The head as it came, line by line, but for the offer. */
function headWithoutOffer({
  method = '',
  url = '',
  httpVersion,
  rawHeaders,
}: Pick<IncomingMessage, 'method' | 'url' | 'httpVersion' | 'rawHeaders'>): string {
  let head = `${method} ${url} HTTP/${httpVersion}\r\n`
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    const lower = name.toLowerCase()
    if (!OFFER.has(lower)) head += `${name}: ${lower === 'connection' ? otherOptions(value) : value}\r\n`
  }
  return `${head}\r\n`
}

function otherOptions(connection: string): string {
  const options = connection.split(',').map((option) => option.trim())
  return options.filter((option) => !OFFER.has(option.toLowerCase())).join(', ')
}
