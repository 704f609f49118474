/** Whom a purge is about: one model, or all of a tenant. */
import { parseModelKey } from './model-version.ts'

export interface PurgeTarget {
  readonly name: string
  /** Every model whose name begins with `name/` too. */
  readonly isTenant: boolean
}

export interface Removed {
  readonly count: number
  readonly bytes: number
}

export const NOTHING: Removed = { count: 0, bytes: 0 }

export function isPurged({ name, isTenant }: PurgeTarget, other: string): boolean {
  return other === name || (isTenant && other.startsWith(`${name}/`))
}

export function isPurgedKey(target: PurgeTarget, key: string): boolean {
  const name = parseModelKey(key)?.name
  return name !== undefined && isPurged(target, name)
}

/** Files of a model beside its versions, whose paths are in messages. */
const SIDECARS = ['aliases.json', 'modelmux.yaml']
const PART_OF_NAME = /[\p{L}\p{N}._/-]/u

/**
 * Whether a text has the name in it, as a whole: by itself, quoted, or before a version (`name:7`, `name/7/model.onnx`). `acme/churn` is
 * not mentioned where `acme/churn-2` or `big/acme/churn` is, nor `acme` where `acme/churn` is, unless that is all of a tenant.
 */
export function mentions(target: PurgeTarget, text: string): boolean {
  const { name } = target
  for (let at = text.indexOf(name); at !== -1; at = text.indexOf(name, at + 1)) {
    const before = text.slice(0, at).at(-1)
    if (before !== undefined && PART_OF_NAME.test(before)) continue
    if (endsName(target, text.slice(at + name.length))) return true
  }
  return false
}

function endsName({ isTenant }: PurgeTarget, after: string): boolean {
  if (after.startsWith('/')) {
    const next = /^\/([^/\s'"]*)/.exec(after)?.[1] ?? ''
    return isTenant || /^[0-9]+$/.test(next) || SIDECARS.includes(next)
  }
  // A full stop ends a sentence, or goes on in a name.
  if (after.startsWith('.')) return !/^\.[\p{L}\p{N}_-]/u.test(after)
  return after === '' || !PART_OF_NAME.test(String.fromCodePoint(after.codePointAt(0) ?? 0))
}
