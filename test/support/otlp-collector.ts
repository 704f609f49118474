/** A collector of OTLP over HTTP on a free port: takes spans as they come on the wire and keeps them, or never answers. */
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

export interface SeenSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly traceState: string
  readonly name: string
  /** 1 = internal, 2 = server. */
  readonly kind: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly attributes: Readonly<Record<string, string | number>>
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  /** 0 = unset, 2 = error. */
  readonly status: number
  readonly resource: Readonly<Record<string, string | number>>
}

export class OtlpCollector {
  readonly spans: SeenSpan[] = []
  /** Whole requests as they came, for what must not be in them. */
  readonly bodies: Buffer[] = []
  requests = 0
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start({ answers = true } = {}): Promise<OtlpCollector> {
    const server = createServer((request, response) => {
      collector.requests++
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('error', () => undefined)
      request.on('end', () => {
        if (!answers) return
        const body = Buffer.concat(chunks)
        collector.bodies.push(body)
        collector.spans.push(...readSpans(body))
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
      })
    })
    const collector = new OtlpCollector(server)
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/traces`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => void this.#server.close(resolve))
  }
}

type Fields = ReadonlyMap<number, readonly (Uint8Array | bigint)[]>

const NOTHING: Fields = new Map()

/** An ExportTraceServiceRequest, by the field numbers of opentelemetry-proto's trace.proto. */
function readSpans(body: Uint8Array): SeenSpan[] {
  return messages(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1)[0] ?? NOTHING, 1)
    const scopes = messages(resourceSpans, 2)
    return scopes.flatMap((scope) => messages(scope, 2).map((span) => readSpan(span, resource)))
  })
}

function readSpan(span: Fields, resource: SeenSpan['resource']): SeenSpan {
  const status = messages(span, 15)[0]
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    traceState: text(span, 3),
    parentSpanId: hex(span, 4),
    name: text(span, 5),
    kind: Number(span.get(6)?.[0] ?? 0),
    startNs: numberOf(span, 7),
    endNs: numberOf(span, 8),
    attributes: attributesOf(span, 9),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
    status: Number(status?.get(3)?.[0] ?? 0),
    resource,
  }
}

function attributesOf(message: Fields, field: number): Record<string, string | number> {
  return Object.fromEntries(
    messages(message, field).map((pair) => {
      const value = messages(pair, 2)[0] ?? NOTHING
      return [text(pair, 1), value.has(1) ? text(value, 1) : Number(value.get(3)?.[0] ?? Number.NaN)]
    }),
  )
}

function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes)
  const fields = new Map<number, (Uint8Array | bigint)[]>()
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag()
    const values = fields.get(field) ?? []
    fields.set(field, values)
    if (type === WireType.LengthDelimited) values.push(reader.bytes())
    else if (type === WireType.Varint) values.push(BigInt(reader.uint64()))
    else if (type === WireType.Bit64) values.push(BigInt(reader.fixed64()))
    else if (type === WireType.Bit32) values.push(BigInt(reader.fixed32()))
    else throw new Error(`wire type ${type} is not OTLP's`)
  }
  return fields
}

function messages(message: Fields, field: number): Fields[] {
  return bytesOf(message, field).map((bytes) => fieldsOf(bytes))
}

function hex(message: Fields, field: number): string {
  return Buffer.from(bytesOf(message, field)[0] ?? []).toString('hex')
}

function text(message: Fields, field: number): string {
  return Buffer.from(bytesOf(message, field)[0] ?? []).toString('utf8')
}

function bytesOf(message: Fields, field: number): Uint8Array[] {
  return (message.get(field) ?? []).filter((value) => value instanceof Uint8Array)
}

function numberOf(message: Fields, field: number): bigint {
  const value = message.get(field)?.[0]
  return typeof value === 'bigint' ? value : 0n
}
