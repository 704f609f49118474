/** The fields of the schema as a flat list: what environment variables, flags, problems and the printed form are made from. */
import { z } from 'zod'
import { type FieldFacts, fieldFacts } from './fields.ts'

export interface Leaf {
  /** Section, perhaps a group, field. */
  readonly path: readonly string[]
  /** Environment variable that overrides the field. */
  readonly env: string
  readonly facts: FieldFacts
}

export interface Group {
  readonly path: readonly string[]
  readonly description: string
  readonly members: readonly (Group | Leaf)[]
}

export function isLeaf(member: Group | Leaf): member is Leaf {
  return 'facts' in member
}

/** The tree of a schema made of strict objects (perhaps behind `z.preprocess`) and the fields of `fields.ts`. */
export function groupOf(schema: z.ZodType, path: readonly string[] = []): Group {
  const object = schema instanceof z.ZodPipe ? schema.out : schema
  if (!(object instanceof z.ZodObject))
    throw new TypeError(`'${path.join('.')}' of the schema is neither a field nor a group`)
  const members = Object.entries(object.shape).map(([name, member]): Group | Leaf => {
    const memberPath = [...path, name]
    const facts = fieldFacts.get(member as z.ZodType)
    return facts === undefined
      ? groupOf(member as z.ZodType, memberPath)
      : { path: memberPath, env: envName(memberPath), facts }
  })
  return { path, description: schema.description ?? '', members }
}

export function leavesOf(group: Group): Leaf[] {
  return group.members.flatMap((member) => (isLeaf(member) ? [member] : leavesOf(member)))
}

/** `cache.failure.baseMs` -> `MODELMUX_CACHE_FAILURE_BASE_MS`. */
export function envName(path: readonly string[]): string {
  const words = path.map((name) => name.replace('MiB', 'Mib').replace(/[A-Z]/g, '_$&').toUpperCase())
  return ['MODELMUX', ...words].join('_')
}

export function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  let value = tree
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<PropertyKey, unknown>)[name]
  }
  return value
}
