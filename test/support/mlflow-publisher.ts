/** The hands of somebody with write access to an MLflow server: folders of any files as versions, aliases, tags. */
import { buffer } from 'node:stream/consumers'
import { Mlflow } from '../../src/clients/mlflow.ts'
import { MlflowArtifacts } from '../../src/clients/mlflow-artifacts.ts'
import { MlflowError } from '../../src/clients/mlflow-error.ts'
import { MlflowHttp } from '../../src/clients/mlflow-http.ts'
import { artifactPlaceOf } from '../../src/domain/artifact-place.ts'
import { systemClock } from '../../src/lib/clock.ts'

export type Files = Readonly<Record<string, Uint8Array | string>>

export class MlflowPublisher {
  readonly mlflow: Mlflow
  readonly #http: MlflowHttp
  readonly #artifacts: MlflowArtifacts
  readonly #server: string
  #experiment: Promise<string> | undefined

  constructor(uri: string) {
    this.#server = uri
    this.#http = new MlflowHttp({ uri, clock: systemClock, random: Math.random })
    this.mlflow = new Mlflow(this.#http)
    this.#artifacts = new MlflowArtifacts(this.#http, { server: uri, allowed: [] }, systemClock)
  }

  /** A version of these files behind the server's proxy. */
  async publish(name: string, files: Files, tags: Readonly<Record<string, string>> = {}): Promise<string> {
    this.#experiment ??= this.mlflow.createExperiment('published by tests')
    // MLflow lets the source of a version lie in the place of its run, and nowhere else.
    const { runId, artifactUri } = await this.mlflow.createRun({
      experimentId: await this.#experiment,
      name,
      startMs: systemClock.wall(),
    })
    const folder = this.#pathIn(artifactUri)
    for (const [path, content] of Object.entries(files)) {
      const bytes = Buffer.from(content)
      await this.#artifacts.write(`${folder}/model/${path}`, bytes, bytes.length)
    }
    await this.mlflow.createModel(name).catch((error: unknown) => {
      if (!(error instanceof MlflowError && error.kind === 'conflict')) throw error
    })
    const source = `${artifactUri}/model`
    const { version } = await this.mlflow.createVersion({ name, source, runId, tags: new Map(Object.entries(tags)) })
    return version
  }

  async setModelTag(name: string, key: string, value: string): Promise<void> {
    const answer = await fetch(`${this.#server}/api/2.0/mlflow/registered-models/set-tag`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, key, value }),
    })
    if (!answer.ok) throw new Error(`MLflow answered ${answer.status}`)
  }

  /** Of a version behind the proxy. */
  async filesOf(name: string, version: string): Promise<Record<string, Buffer>> {
    const folder = this.#pathIn(await this.mlflow.downloadUri(name, version))
    const found: Record<string, Buffer> = {}
    for (const { path, bytes } of await this.#artifacts.list(folder))
      found[path] = await buffer(await this.#artifacts.read(`${folder}/${path}`, bytes))
    return found
  }

  close(): Promise<void> {
    return this.#http.close()
  }

  #pathIn(uri: string): string {
    const place = artifactPlaceOf(uri, { server: this.#server, allowed: [] })
    if (place.kind !== 'proxy') throw new Error(`its files lie in ${place.kind}`)
    return place.path
  }
}
