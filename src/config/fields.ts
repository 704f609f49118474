/**
 * The kinds of fields a configuration is made of. Each states in one sentence what it expects, so that every problem is
 * reported the same way, and carries what documentation needs: description, unit, default, whether it is a secret.
 */
import { z } from 'zod'
import { formatByteSize, parseByteSize } from '../lib/byte-size.ts'

export interface FieldFacts {
  readonly description: string
  /** What a value must be, to follow "expected ". */
  readonly expects: string
  /** How text from an environment variable or a flag is read, and how a value is written. `yaml`: as a YAML value. */
  readonly form: 'text' | 'bytes' | 'yaml'
  readonly preset: unknown
  /** Never shown. */
  readonly isSecret: boolean
}

/** Facts of every leaf of a schema, by the leaf's schema object. */
export const fieldFacts = z.registry<FieldFacts>()

interface NumberRange {
  readonly min?: number
  readonly max?: number
  readonly unit?: string
}

/** A whole number. */
export function whole(preset: number, description: string, range: NumberRange = {}) {
  const expects = `a whole number${rangeText(range)}`
  return leaf(
    custom<number>((value) => Number.isSafeInteger(value) && isWithin(value, range), expects),
    { preset, description, expects },
  )
}

/** A whole number, or null for a value worked out at start. */
export function wholeOrNull(description: string, range: NumberRange = {}) {
  const expects = `null or a whole number${rangeText(range)}`
  const accepts = (value: unknown) => value === null || (Number.isSafeInteger(value) && isWithin(value, range))
  return leaf(custom<number | null>(accepts, expects), { preset: null, description, expects })
}

/** A number with or without a fraction. */
export function decimal(preset: number, description: string, range: NumberRange = {}) {
  const expects = `a number${rangeText(range)}`
  return leaf(
    custom<number>((value) => Number.isFinite(value) && isWithin(value, range), expects),
    { preset, description, expects },
  )
}

/** Milliseconds, whole. */
export function milliseconds(preset: number, description: string, range: NumberRange = {}) {
  return whole(preset, description, { max: 86_400_000, ...range, unit: 'milliseconds' })
}

/** A count of bytes, written as a number or like `64MiB`; always bytes once read. */
export function bytes(preset: number, description: string, range: NumberRange = {}) {
  const expects = `bytes as a whole number or a size like 64MiB or 4GiB${byteRangeText(range)}`
  const schema = custom<number | string>((value) => isWithin(toBytes(value), range), expects).transform(
    (value) => toBytes(value) ?? 0,
  )
  return leaf(schema, { preset, description, expects, form: 'bytes' })
}

/** Bytes, or null for a value worked out at start. */
export function bytesOrNull(description: string, range: NumberRange = {}) {
  const expects = `null, or bytes as a whole number or a size like 64MiB or 4GiB${byteRangeText(range)}`
  const accepts = (value: unknown) => value === null || isWithin(toBytes(value), range)
  const schema = custom<number | string | null>(accepts, expects).transform((value) =>
    value === null ? null : (toBytes(value) ?? 0),
  )
  return leaf(schema, { preset: null, description, expects, form: 'bytes' })
}

/** Text that is not empty. */
export function text(preset: string, description: string) {
  const expects = 'a text that is not empty'
  return leaf(
    custom<string>((value) => typeof value === 'string' && value !== '', expects),
    { preset, description, expects, form: 'text' },
  )
}

/** Text that `problemOf` has nothing against, or null. */
export function checkedTextOrNull(
  description: string,
  what: string,
  problemOf: (value: string) => string | undefined,
  preset: string | null = null,
) {
  const expects = `null or ${what}`
  const accepts = (value: unknown) => value === null || (typeof value === 'string' && problemOf(value) === undefined)
  return leaf(custom<string | null>(accepts, expects), { preset, description, expects, form: 'text' })
}

/** Text that `accepts` takes. */
export function checkedText(preset: string, description: string, what: string, accepts: (value: string) => boolean) {
  const expects = what
  return leaf(
    custom<string>((value) => typeof value === 'string' && accepts(value), expects),
    { preset, description, expects, form: 'text' },
  )
}

/** Text that is never shown, or null. */
export function secretOrNull(description: string) {
  const expects = 'null or a text that is not empty'
  const accepts = (value: unknown) => value === null || (typeof value === 'string' && value !== '')
  return leaf(custom<string | null>(accepts, expects), {
    preset: null,
    description,
    expects,
    form: 'text',
    isSecret: true,
  })
}

/** Yes or no. */
export function flag(preset: boolean, description: string) {
  const expects = 'true or false'
  return leaf(
    custom<boolean>((value) => typeof value === 'boolean', expects),
    { preset, description, expects },
  )
}

/** One of a few words. */
export function oneOf<const T extends readonly string[]>(words: T, preset: T[number], description: string) {
  const expects = `one of ${words.join(', ')}`
  return leaf(
    custom<T[number]>((value) => words.some((word) => word === value), expects),
    { preset, description, expects, form: 'text' },
  )
}

/** A list of texts that `problemOf` has nothing against. */
export function textList(
  preset: readonly string[],
  description: string,
  what: string,
  problemOf: (value: string) => string | undefined = () => undefined,
) {
  const expects = `a list of ${what}`
  const accepts = (value: unknown) =>
    Array.isArray(value) && value.every((item) => typeof item === 'string' && problemOf(item) === undefined)
  return leaf(custom<readonly string[]>(accepts, expects), { preset, description, expects })
}

/** A list of at most `max` objects that have these texts, none of them empty, and nothing else. */
export function rowList<const K extends string>(keys: readonly K[], max: number, description: string) {
  const expects = `a list of up to ${max} of {${keys.join(', ')}}, texts that are not empty`
  const isRow = (row: unknown) =>
    isPlainObject(row) &&
    Object.keys(row).length === keys.length &&
    keys.every((key) => typeof row[key] === 'string' && row[key] !== '')
  const accepts = (value: unknown) => Array.isArray(value) && value.length <= max && value.every(isRow)
  return leaf(custom<readonly Readonly<Record<K, string>>[]>(accepts, expects), { preset: [], description, expects })
}

/** Positive numbers by name. */
export function weights(description: string, what: string, problemOf: (name: string) => string | undefined) {
  const expects = `numbers over 0 up to 1000 by ${what}`
  const accepts = (value: unknown) =>
    isPlainObject(value) &&
    Object.entries(value).every(
      ([name, weight]) => problemOf(name) === undefined && typeof weight === 'number' && weight > 0 && weight <= 1000,
    )
  return leaf(custom<Readonly<Record<string, number>>>(accepts, expects), { preset: {}, description, expects })
}

/** Fields under a common name; left out, all have their defaults. */
export function group<T extends z.ZodRawShape>(description: string, fields: T) {
  return z
    .preprocess((value) => (value === undefined || value === null ? {} : value), z.strictObject(fields))
    .describe(description)
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function custom<T>(accepts: (value: unknown) => boolean, expects: string) {
  return z.custom<T>(accepts, { error: `expected ${expects}` })
}

/** A field left out has its default, which goes through the same check as a written value. */
function leaf<Out>(
  schema: z.ZodType<Out>,
  facts: Pick<FieldFacts, 'description' | 'expects'> & { preset: Out; form?: FieldFacts['form']; isSecret?: boolean },
): z.ZodType<Out> {
  const complete: z.ZodType<Out> = z.preprocess((value) => (value === undefined ? facts.preset : value), schema)
  fieldFacts.add(complete, { form: 'yaml', isSecret: false, ...facts })
  return complete
}

function isWithin(value: unknown, { min = 0, max = Number.MAX_SAFE_INTEGER }: NumberRange): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

function toBytes(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  return typeof value === 'string' ? parseByteSize(value) : undefined
}

function rangeText({ min = 0, max, unit }: NumberRange): string {
  return `${unit === undefined ? '' : ` of ${unit}`}${max === undefined ? ` of ${min} or more` : ` from ${min} to ${max}`}`
}

function byteRangeText({ min = 0, max }: NumberRange): string {
  if (max !== undefined) return `, from ${formatByteSize(min)} to ${formatByteSize(max)}`
  return min === 0 ? '' : `, ${formatByteSize(min)} or more`
}
