/** Quarantine records without a disk: what is written is here, and can be taken away as an operator would. */
import type { QuarantineRecord } from '../../src/domain/quarantine.ts'
import type { QuarantineRecords } from '../../src/replica/quarantine.ts'

export class QuarantineShelf implements QuarantineRecords {
  readonly files = new Map<string, QuarantineRecord>()
  /** Fails every write. */
  isFull = false
  /** The folder cannot be looked at. */
  isAway = false

  fileOf(key: string): string {
    return `quarantine/${key}.json`
  }

  async write(record: QuarantineRecord): Promise<void> {
    if (this.isFull) throw new Error('the disk is full')
    this.files.set(record.key, record)
  }

  async remove(key: string): Promise<void> {
    this.files.delete(key)
  }

  async present(keys: Iterable<string>): Promise<ReadonlySet<string> | undefined> {
    return this.isAway ? undefined : new Set([...keys].filter((key) => this.files.has(key)))
  }
}
