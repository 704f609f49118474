/** Why a server could not listen, in words for the person who started it. */
export class ListenError extends Error {
  override readonly name = 'ListenError'

  constructor(cause: unknown, { host, port }: { readonly host: string; readonly port: number }) {
    super(messageOf(cause, host, port), { cause })
  }
}

function messageOf(cause: unknown, host: string, port: number): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use: choose another with --port`
    case 'EACCES':
      return `port ${port} on ${host} is not for this user: choose one above 1023 with --port`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine: choose another with --host`
    default:
      return `cannot listen on ${host} port ${port}: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}
