/**
 * Walks the models folder with blocking calls, in a thread of its own: 10,000 unchanged models cost a tenth of a second this way and a
 * second of the event loop with asynchronous ones.
 *
 *   <root>/<segment>/.../<segment>/<version>/model.onnx
 *          '------- name --------'
 *
 * A folder is a version if its name is digits and it directly holds a model file; the folder around versions is a model and holds no
 * further models. Names that begin with a dot are not looked at. Only "no such file" means that something is gone: after any other
 * error what was known stays.
 */
import { readdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isVersion, nameProblem } from '../domain/model-ref.ts'
import { MODEL_FILES } from '../domain/source-identity.ts'
import type { Clock } from '../lib/clock.ts'
import { isGone, isSameNode, type NodeFacts, statFactsSync } from '../lib/file-tree.ts'
import { holdsModelFile, listFolder } from './folder-listing.ts'
import { ModelWatch, type WatchContext } from './model-watch.ts'
import { ProblemLog } from './problem-log.ts'
import type { ModelReport, ScannerMessage, ScannerOptions } from './scan-messages.ts'

const MAX_NAME_DEPTH = 4
const REPORTS_PER_MESSAGE = 100
/**
 * A folder changed this shortly before it was listed is listed again: a later change within the same tick of the file system's clock
 * (up to 2 s) would leave the same time on it.
 */
const RACY_MS = 2000

interface Folder {
  readonly path: string
  /** The name that a model here has; '' for the root. */
  readonly name: string
  readonly depth: number
  /** The folder as it was when it was listed; undefined = list it again. */
  listed: NodeFacts | undefined
  /** Subfolders that are not versions. */
  readonly children: Map<string, Folder>
  /** Subfolders whose names are digits, versions or not. */
  digits: readonly string[]
  model: ModelWatch | undefined
  /** A model whose name is none: nothing in here is served. */
  isSkipped: boolean
}

export class FolderScanner {
  readonly #root: Folder
  readonly #clock: Clock
  readonly #options: ScannerOptions
  readonly #say: (message: ScannerMessage) => void
  readonly #problems: ProblemLog
  readonly #unsettled = new Set<Folder>()
  readonly #context: WatchContext & { modelsRoot: string }
  #rootIdentity: string | undefined
  #lostReason: string | undefined
  #models = 0
  #reports: ModelReport[] = []

  constructor(options: ScannerOptions, clock: Clock, say: (message: ScannerMessage) => void) {
    this.#options = options
    this.#clock = clock
    this.#say = say
    this.#problems = new ProblemLog((name, fields) => say({ kind: 'event', name, fields }))
    this.#root = newFolder(options.root, '', 0)
    this.#context = {
      modelsRoot: options.root,
      settleMs: options.settleMs,
      defaults: options.defaults,
      clock,
      onProblem: (path, problem) => this.#problems.set('registry.model_problem', path, problem),
    }
  }

  /** Files that are still changing: `recheck` should be called after the settling time. */
  get hasUnsettled(): boolean {
    return this.#unsettled.size > 0
  }

  /** Looks at everything; `onTurn` is called between folders. */
  scan(onTurn: () => void = () => {}): void {
    const startedAt = this.#clock.now()
    const isWhole = this.#within(() => this.#visit(this.#root, onTurn))
    if (isWhole) this.#say({ kind: 'scanned', models: this.#models, durationMs: this.#clock.now() - startedAt })
  }

  /** Looks at what has not settled. */
  recheck(): void {
    this.#within(() => {
      for (const folder of this.#unsettled) this.#refresh(folder)
    })
  }

  /** Looks at the folders on the way to one name. Says `absent` if that is no model. */
  look(name: string): void {
    let folder: Folder | undefined = this.#root
    const isLooked = this.#within(() => {
      for (const segment of name.split('/')) {
        if (folder?.children.has(segment) === false) this.#refresh(folder)
        folder = folder?.model === undefined ? folder?.children.get(segment) : undefined
      }
      if (folder !== undefined) this.#refresh(folder)
    })
    if (isLooked && folder?.model === undefined) this.#say({ kind: 'absent', name })
  }

  /** Runs `work` while the models folder is there; false when it is not, or went away meanwhile. */
  #within(work: () => void): boolean {
    if (!this.#enterRoot()) return false
    try {
      work()
      return true
    } catch (error) {
      if (error instanceof RootLostError) return false
      throw error
    } finally {
      this.#flush()
    }
  }

  /** Whether the models folder can be looked at. An unmounted one may be gone, unreadable, or another, empty folder. */
  #enterRoot(): boolean {
    const { root } = this.#options
    let reason: string | undefined
    try {
      const modelsRoot = realpathSync.native(root)
      const { dev, ino } = statSync(modelsRoot)
      const identity = `${dev}:${ino}`
      if (this.#rootIdentity !== identity) {
        const isEmpty = readdirSync(modelsRoot).length === 0
        if (isEmpty && this.#models > 0) reason = 'another, empty folder is in its place'
        else this.#rootIdentity = identity
      }
      this.#context.modelsRoot = modelsRoot
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error)
    }
    if (reason !== undefined && reason !== this.#lostReason) this.#say({ kind: 'root-lost', reason })
    this.#lostReason = reason
    return reason === undefined
  }

  #visit(folder: Folder, onTurn: () => void): void {
    this.#refresh(folder)
    if (folder.model !== undefined) return
    for (const child of folder.children.values()) {
      onTurn()
      this.#visit(child, onTurn)
    }
  }

  /** Looks at one folder and, if it is a model, at its versions; not at the folders below. */
  #refresh(folder: Folder): void {
    try {
      const found = statFactsSync(folder.path)
      if (found?.kind !== 'dir') {
        this.#forget(folder)
        return
      }
      const facts = { path: folder.path, ...found.facts }
      if (folder.listed === undefined || !isSameNode(facts, folder.listed)) this.#list(folder, facts)
      this.#watchVersions(folder)
      this.#problems.set('registry.folder_unreadable', folder.path, undefined)
    } catch (error) {
      if (error instanceof RootLostError) throw error
      if (isGone(error)) {
        this.#forget(folder)
        return
      }
      this.#problems.set(
        'registry.folder_unreadable',
        folder.path,
        error instanceof Error ? error.message : String(error),
      )
    }
  }

  #list(folder: Folder, facts: NodeFacts): void {
    const { files, dirs, garbled } = listFolder(folder.path, this.#context.modelsRoot)
    folder.digits = [...dirs].filter(isVersion)
    for (const [name, child] of folder.children) {
      if (dirs.has(name)) continue
      this.#forget(child)
      folder.children.delete(name)
    }
    if (folder.depth < MAX_NAME_DEPTH)
      for (const name of dirs) if (!folder.children.has(name)) folder.children.set(name, childOf(folder, name))
    this.#findModel(folder, files)
    this.#tellMisplaced(folder, files)
    for (const name of garbled)
      this.#problems.set('registry.name_skipped', join(folder.path, name), 'its bytes are not UTF-8')
    const isRacy = Number(facts.mtimeNs / 1_000_000n) > this.#clock.wall() - RACY_MS
    folder.listed = isRacy ? undefined : facts
  }

  #tellMisplaced(folder: Folder, files: ReadonlySet<string>): void {
    const lastSegment = folder.name.slice(folder.name.lastIndexOf('/') + 1)
    const isMisplaced = !isVersion(lastSegment) && MODEL_FILES.some((name) => files.has(name))
    const problem = 'a model file lies outside a version; expected <name>/<version>/model.onnx with a number as version'
    this.#problems.set('registry.layout_problem', folder.path, isMisplaced ? problem : undefined)
  }

  /** A folder with at least one version is a model; what was found below it before is not served any more. */
  #findModel(folder: Folder, files: ReadonlySet<string>): void {
    const versions = folder.digits.filter(
      (name) => folder.model?.has(name) !== true && this.#holdsModelFile(join(folder.path, name)),
    )
    if (folder.model === undefined && versions.length === 0) {
      folder.isSkipped = false
      this.#problems.set('registry.name_skipped', folder.path, undefined)
      return
    }
    const problem =
      folder === this.#root
        ? 'versions lie directly in the models folder; expected <name>/<version>/model.onnx'
        : nameProblem(folder.name)
    this.#problems.set('registry.name_skipped', folder.path, problem)
    folder.isSkipped = problem !== undefined
    for (const [name, child] of folder.children) {
      // The root goes on without the folders that look like versions.
      if (folder === this.#root && !versions.includes(name)) continue
      this.#forget(child)
      folder.children.delete(name)
    }
    if (folder.isSkipped) return
    if (folder.model === undefined) this.#models++
    folder.model ??= new ModelWatch(folder.name, folder.path, this.#context)
    folder.model.setContent(versions, (name) => files.has(name))
  }

  #watchVersions(folder: Folder): void {
    if (folder.isSkipped) return
    const isNew = (name: string) => folder.model?.has(name) !== true && this.#holdsModelFile(join(folder.path, name))
    // A model file may come into a folder that was there before: that does not touch the folder around it.
    if (folder.listed !== undefined && folder.digits.some(isNew)) this.#list(folder, folder.listed)
    const { model } = folder
    if (model === undefined) return
    const isChanged = model.look()
    if (model.versionCount === 0) {
      this.#dropModel(folder)
      // It may hold models now.
      folder.listed = undefined
      return
    }
    if (model.isUnsettled) this.#unsettled.add(folder)
    else this.#unsettled.delete(folder)
    if (isChanged) this.#report(model.report())
  }

  /** False for a folder that cannot be looked into: taken for a version it would hide all models beside it. */
  #holdsModelFile(path: string): boolean {
    let problem: string | undefined
    let isHeld = false
    try {
      isHeld = holdsModelFile(path)
    } catch (error) {
      if (!isGone(error)) problem = error instanceof Error ? error.message : String(error)
    }
    this.#problems.set('registry.folder_unreadable', path, problem)
    return isHeld
  }

  #forget(folder: Folder): void {
    for (const child of folder.children.values()) this.#forget(child)
    folder.children.clear()
    folder.listed = undefined
    folder.isSkipped = false
    if (folder.model !== undefined) this.#dropModel(folder)
    this.#problems.forgetBelow(folder.path)
  }

  /** @throws RootLostError: when everything vanishes, no model was removed */
  #dropModel(folder: Folder): void {
    if (!this.#enterRoot()) throw new RootLostError()
    folder.model = undefined
    this.#models--
    this.#unsettled.delete(folder)
    this.#report({ name: folder.name, versions: [], pending: [], aliases: [] })
  }

  #report(report: ModelReport): void {
    this.#reports.push(report)
    if (this.#reports.length >= REPORTS_PER_MESSAGE) this.#flush()
  }

  #flush(): void {
    if (this.#reports.length === 0) return
    this.#say({ kind: 'models', reports: this.#reports })
    this.#reports = []
  }
}

class RootLostError extends Error {
  override readonly name = 'RootLostError'
}

function childOf(parent: Folder, name: string): Folder {
  return newFolder(join(parent.path, name), parent.name === '' ? name : `${parent.name}/${name}`, parent.depth + 1)
}

function newFolder(path: string, name: string, depth: number): Folder {
  return { path, name, depth, listed: undefined, children: new Map(), digits: [], model: undefined, isSkipped: false }
}
