/** The answer that has its turn on a connection. */
import type { ServerResponse } from 'node:http'

/** Node hangs it on the socket, and asks there itself before it writes an answer of its own. */
export function answerUnderWay(socket: object): ServerResponse | undefined {
  const { _httpMessage: answer } = socket as { readonly _httpMessage?: ServerResponse | null }
  return answer ?? undefined
}
