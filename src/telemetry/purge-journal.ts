/** Takes the records of some models out of the journal's files. Nobody else may be writing them. */
import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { JOURNAL_FILE } from './journal-files.ts'
import { parseRecord } from './journal-record.ts'

export interface JournalPurge {
  readonly records: number
  /** ModelKeys in them. */
  readonly keys: readonly string[]
}

/** `isAbout`: of any text of a record. What is no record goes too: whose it was cannot be told. @throws errors of the file system */
export async function purgeJournal(
  dir: string,
  isAbout: (text: string) => boolean,
  isDryRun: boolean,
): Promise<JournalPurge> {
  let records = 0
  const keys = new Set<string>()
  for (const name of (await readdir(dir).catch(() => [])).filter((file) => JOURNAL_FILE.test(file))) {
    const path = join(dir, name)
    const kept: string[] = []
    let isChanged = false
    for (const line of (await readFile(path, 'utf8')).split('\n')) {
      if (line === '') continue
      const record = parseRecord(line)
      const isTheirs = record !== undefined && hasText(record.fields, isAbout)
      if (record !== undefined && !isTheirs) {
        kept.push(line)
        continue
      }
      isChanged = true
      if (!isTheirs) continue
      records++
      if (typeof record?.fields.key === 'string') keys.add(record.fields.key)
    }
    if (!isChanged || isDryRun) continue
    await writeFile(`${path}.part`, kept.map((line) => `${line}\n`).join(''), { mode: 0o600 })
    await rename(`${path}.part`, path)
  }
  return { records, keys: [...keys] }
}

function hasText(value: unknown, isAbout: (text: string) => boolean): boolean {
  if (typeof value === 'string') return isAbout(value)
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).some((one) => hasText(one, isAbout))
}
