/** What may stand in a field and what not: each says why not, or undefined. */
import { parseModelRef } from '../domain/model-ref.ts'

export function regionProblem(value: string): string | undefined {
  return /^[A-Za-z0-9-]{1,64}$/.test(value) ? undefined : 'it is not the name of a region'
}

/** It goes out in a header. */
export function workspaceProblem(value: string): string | undefined {
  return /^[\x21-\x7e]{1,256}$/.test(value) ? undefined : 'it is not the name of a workspace'
}

export function urlProblem(value: string): string | undefined {
  if (!URL.canParse(value)) return 'it is not a URL'
  const { protocol, username, password } = new URL(value)
  if (protocol !== 'http:' && protocol !== 'https:') return 'it is neither http nor https'
  return username === '' && password === '' ? undefined : 'it carries a user or a password'
}

export function refProblem(value: string): string | undefined {
  try {
    parseModelRef(value)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : 'it is not a model id'
  }
}
