/** A bare TCP connection to a server: bytes go out as a test writes them, answers are taken apart by their content-length. */
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { systemClock } from '../../src/lib/clock.ts'

export interface RawAnswer {
  readonly status: number
  /** By lower-case name; the last of repeated ones. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** What a test waits for comes in milliseconds; only a broken server takes longer. */
const BOUND_MS = 20_000

export class RawConnection {
  readonly socket: Socket
  #received = ''
  #isOver = false
  #wake = (): void => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      this.#wake()
    })
    // However it ends, what counts is what came before.
    socket.on('error', () => {})
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#isOver = true
        this.#wake()
      })
    }
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => resolve(connection))
      const connection = new RawConnection(socket)
      socket.once('error', reject)
    })
  }

  /** Text is written byte for byte (latin1). */
  write(bytes: string | Uint8Array): this {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1')
    else this.socket.write(bytes)
    return this
  }

  /** Everything that came until now. */
  get received(): string {
    return this.#received
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Resolves with the first `count` final answers once they are here whole. @throws Error when the server ends before */
  async answers(count: number): Promise<readonly RawAnswer[]> {
    const answers = await this.#until(`${count} answers`, () => {
      const { final } = parseAnswers(this.#received)
      return final.length >= count || this.#isOver ? final : undefined
    })
    if (answers.length >= count) return answers.slice(0, count)
    throw new Error(`the server ended the connection after ${answers.length} of ${count} answers: ${this.#received}`)
  }

  /** Resolves with all final answers when the server has ended the connection. @throws Error when bytes are left over */
  async untilOver(): Promise<readonly RawAnswer[]> {
    await this.#until('the end of the connection', () => (this.#isOver ? true : undefined))
    const { final, rest } = parseAnswers(this.#received)
    if (rest !== '') throw new Error(`bytes that are no whole answer: ${rest}`)
    return final
  }

  destroy(): void {
    this.socket.destroy()
  }

  #until<T>(what: string, question: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = systemClock.after(BOUND_MS, () =>
        reject(new Error(`timed out waiting for ${what}; received: ${this.#received.slice(0, 2000)}`)),
      )
      this.#wake = () => {
        const answer = question()
        if (answer === undefined) return
        timer.cancel()
        resolve(answer)
      }
      this.#wake()
    })
  }
}

/** Final answers, without interim ones, and what follows the last whole one. Knows no chunked bodies. */
function parseAnswers(text: string): { readonly final: readonly RawAnswer[]; readonly rest: string } {
  const final: RawAnswer[] = []
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1) return { final, rest }
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1])
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const length = Number(headers.get('content-length') ?? 0)
    const bodyAt = end + 4
    if (rest.length < bodyAt + length) return { final, rest }
    if (status >= 200) final.push({ status, headers, body: rest.slice(bodyAt, bodyAt + length) })
    rest = rest.slice(bodyAt + length)
  }
}
