/** Which coding of an answer a client would rather have, from its Accept-Encoding (RFC 9110, section 12.5.3). */

/** Codings that answers can have, the preferred one first; `deflate` is a zlib stream, as HTTP means it. */
const CODINGS = ['gzip', 'deflate'] as const
export type Coding = (typeof CODINGS)[number]

/** A longer list is no honest client's. */
const MAX_LENGTH = 1024

/** Undefined when it is to go as it is: the client asked for neither, for another one, or for identity more than for either. */
export function chooseCoding(header: string | undefined): Coding | undefined {
  if (header === undefined || header.length > MAX_LENGTH) return undefined
  const weights = weightsOf(header)
  const any = weights.get('*') ?? 0
  // Identity is always acceptable, but never preferred unless it is named.
  let best: { readonly coding: Coding | undefined; readonly weight: number } = {
    coding: undefined,
    weight: weights.get('identity') ?? 0,
  }
  for (const coding of CODINGS) {
    const weight = weights.get(coding) ?? weights.get(`x-${coding}`) ?? any
    if (weight > 0 && (weight > best.weight || (best.coding === undefined && weight === best.weight)))
      best = { coding, weight }
  }
  return best.coding
}

function weightsOf(header: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>()
  for (const element of header.split(',')) {
    const [name = '', ...parameters] = element.split(';')
    const coding = name.trim().toLowerCase()
    if (coding !== '') weights.set(coding, weightOf(parameters))
  }
  return weights
}

/** What is no weight counts as a refusal: better too many bytes than bytes that cannot be read. */
function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const [key = '', value = ''] = parameter.split('=')
    if (key.trim().toLowerCase() !== 'q') continue
    const text = value.trim()
    return /^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Number(text) : 0
  }
  return 1
}
